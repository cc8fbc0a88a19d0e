"""Sections of grains: EBSD maps, images of labels, virtual ones; their descriptors."""
