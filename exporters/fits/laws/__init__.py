"""Radial laws of grains fitted to sections: their work folder, card and report."""
