"""The video stages, in the order data flows: arrays in, functions of `ops`, arrays out."""
