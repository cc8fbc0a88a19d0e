"""How a mesh is made, from lattice to optimiser."""
