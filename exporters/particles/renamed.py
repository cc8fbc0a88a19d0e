"""Names of products and options that files of version 0.1.0 have, and those of today."""

PRODUCTS = {"grains": "grain-table", "vti": "voxels-vti", "vtk-mesh": "mesh-vtkhdf"}
OPTIONS = {"spacing_um": "pitch_um", "interfaces": "boundaries"}
