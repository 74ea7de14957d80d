"""The report of a clip: pictures, curves and strips for its page."""
