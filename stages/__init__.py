"""The video stages, in the order data flows. Each is thin: arrays in, functions of `ops`, arrays out."""
