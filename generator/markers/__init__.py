"""Marked seed points, and the laws that turn marks into markers and crystal orientations."""
