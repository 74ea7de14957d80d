"""Tasks for labelling tools: the frames of a run that want a look, with their masks to correct."""
