"""Results out: masks, mask videos and previews."""
