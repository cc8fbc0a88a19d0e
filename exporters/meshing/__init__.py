"""How a mesh is made: sizes, lattice, cut, pieces, and what checks and repeats it."""
