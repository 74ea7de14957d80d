"""Generated scenes with exact masks, flow and visibility, and masks that flicker on purpose."""
