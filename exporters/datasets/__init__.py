"""Datasets of particles: layout, configuration, build, index, manifest, verification."""
