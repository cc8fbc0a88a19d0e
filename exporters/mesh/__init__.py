"""Meshes as nouns: tetrahedra, volume, second-order and split meshes, and their files."""
