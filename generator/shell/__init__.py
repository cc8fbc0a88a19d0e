"""The outer surface: spherical harmonics, shells, their random model and its laws."""
