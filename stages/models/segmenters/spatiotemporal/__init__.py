"""STCNN: a network that segments a clip from one true mask: formulas, network, files, tuning."""
