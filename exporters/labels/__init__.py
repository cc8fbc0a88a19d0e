"""Meshes of a user's own labelled voxels."""
