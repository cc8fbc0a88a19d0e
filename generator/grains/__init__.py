"""The inside of a particle: seed points, markers, tessellation, orientations."""
