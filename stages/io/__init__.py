"""The only place where media files are opened: video, masks, palettes."""
