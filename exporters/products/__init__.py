"""The products of a particle: one module for each, and their registry."""
