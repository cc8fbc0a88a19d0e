"""Pictures on pages: the canvas that reports share."""
