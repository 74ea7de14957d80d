"""Networks that blend context over frames, TCB: formulas, network, files, segmenter."""
