"""Finite-element solvers: for each a folder with the mesh and decks that run as they are.

`profiles` lists them. A profile's module is imported when it is used; none needs gmsh or
the solver itself.
"""
