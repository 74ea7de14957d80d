"""The driver of the RAFT family: shared features, recorded iterations, batched look-ups."""
