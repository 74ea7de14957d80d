"""Training: of the decoder on generated scenes, and on a library of one's own; of students."""
