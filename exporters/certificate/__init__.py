"""How a mesh is judged."""
