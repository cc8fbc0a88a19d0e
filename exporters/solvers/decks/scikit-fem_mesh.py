"""The mesh of this folder for scikit-fem: ``mesh``, its element, the grain of each cell.

``mesh.subdomains`` has ``grain_00001`` and so on, ``mesh.boundaries`` has ``outer`` and
``grain_boundary``.
"""

import material
import numpy as np
import skfem

arrays = np.load(material.FOLDER / "mesh.npz")
grain = arrays["grain_ids"]
element = skfem.ElementTetP1() if material.ORDER == 1 else skfem.ElementTetP2()
_kind = skfem.MeshTet if material.ORDER == 1 else skfem.MeshTet2
_mesh = _kind(arrays["points"].T.copy(), arrays["tets"].T.copy())


def _facets(triangles):
    """Numbers of the facets with these vertices."""
    n = _mesh.nvertices
    keys = [np.ravel_multi_index(np.sort(t, axis=0)[:2], (n, n)) for t in (_mesh.facets, triangles)]
    thirds = [np.max(t, axis=0) for t in (_mesh.facets, triangles)]
    order = np.lexsort((thirds[0], keys[0]))
    known = np.rec.fromarrays([keys[0][order], thirds[0][order]])
    return order[np.searchsorted(known, np.rec.fromarrays([keys[1], thirds[1]]))]


mesh = _mesh.with_boundaries(
    {name: _facets(arrays[name][:, :3].T) for name in ("outer", "grain_boundary")}
).with_subdomains({f"grain_{g:05d}": np.flatnonzero(grain == g) for g in np.unique(grain)})
