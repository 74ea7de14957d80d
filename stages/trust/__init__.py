"""Refinement of masks by voting along the flow and by learned decoders."""
