"""Surfaces of grains and the lines in which they meet."""
