"""How a particle looks: ray casting, shading, colours; arrays, no files."""
