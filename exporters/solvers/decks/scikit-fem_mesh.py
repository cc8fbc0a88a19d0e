"""The mesh of this folder for scikit-fem: ``mesh``, its element, the grain of each cell.

``mesh.subdomains`` has ``grain_00001`` and so on, ``mesh.boundaries`` has ``outer``,
``grain_boundary`` and the symmetric faces of a cut mesh, ``symmetry_x`` and so on.
"""

import material
import numpy as np
import skfem

arrays = np.load(material.FOLDER / "mesh.npz")
grain = arrays["grain_ids"]
if "hexes" in arrays:
    element, _kind = skfem.ElementHex1(), skfem.MeshHex
    _cells = arrays["hexes"][:, [0, 4, 3, 1, 7, 5, 2, 6]]  # scikit-fem's order
elif material.ORDER == 1:
    element, _kind, _cells = skfem.ElementTetP1(), skfem.MeshTet, arrays["tets"]
else:
    element, _kind, _cells = skfem.ElementTetP2(), skfem.MeshTet2, arrays["tets"]
_corners = 4 if "hexes" in arrays else 3  # of a facet
_mesh = _kind(arrays["points"].T.copy(), _cells.T.copy())


def _facets(facets):
    """Numbers of the facets with these vertices; three of four say which it is."""
    n = _mesh.nvertices
    keys = [np.ravel_multi_index(np.sort(t, axis=0)[:2], (n, n)) for t in (_mesh.facets, facets)]
    thirds = [np.max(t, axis=0) for t in (_mesh.facets, facets)]
    order = np.lexsort((thirds[0], keys[0]))
    known = np.rec.fromarrays([keys[0][order], thirds[0][order]])
    return order[np.searchsorted(known, np.rec.fromarrays([keys[1], thirds[1]]))]


mesh = _mesh.with_boundaries(
    {
        name: _facets(arrays[name][:, :_corners].T)
        for name in arrays
        if name in ("outer", "grain_boundary") or name.startswith("symmetry")
    }
).with_subdomains({f"grain_{g:05d}": np.flatnonzero(grain == g) for g in np.unique(grain)})
