"""What a student is trained with: plain functions of tensors, each with a gradient."""
