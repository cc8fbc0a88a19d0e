"""Sections as images and EBSD maps, phantoms as folders, and their pictures."""
