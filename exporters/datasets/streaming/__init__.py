"""Streams of volumes for training, made while they are used: particles, cubes, their order."""
