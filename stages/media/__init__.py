"""The only folder in which media files are opened: footage, masks, results, label sets."""
