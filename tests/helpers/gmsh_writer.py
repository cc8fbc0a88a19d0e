"""MSH 4.1 files as gmsh writes them, and as versions 0.1 and 0.2 did."""

import json

import numpy as np

from cathodegrain.exporters.mesh.any_mesh import wedges_of
from cathodegrain.exporters.mesh.gmsh_session import gmsh_model

KINDS = {(2, 3): 2, (2, 6): 9, (3, 4): 4, (3, 10): 11}
TEN_NODES = [0, 1, 2, 3, 4, 5, 6, 7, 9, 8]


def write_by_gmsh(mesh, path):
    """File of a mesh, made by calls of gmsh alone."""
    with gmsh_model() as gmsh:
        _add(gmsh.model, mesh)
        gmsh.option.setNumber("Mesh.MshFileVersion", 4.1)
        gmsh.option.setNumber("Mesh.Binary", 1)
        gmsh.write(str(path))
    return path


def _add(model, mesh):
    triangles, pairs = mesh.facets
    found, index = np.unique(pairs, axis=0, return_inverse=True)
    grains = np.unique(mesh.grain_ids).tolist()
    for tag in range(1, len(found) + 1):
        model.addDiscreteEntity(2, tag)
    for grain in grains:
        model.addDiscreteEntity(3, grain, (1 + np.flatnonzero((found == grain).any(1))).tolist())
    wedges, _ = wedges_of(mesh)
    if len(wedges):
        model.addDiscreteEntity(3, mesh.n_grains + 3)
    numbers = 1 + np.arange(len(mesh.points))
    model.mesh.addNodes(2, 1, numbers, mesh.points.ravel())
    tets = mesh.tets if mesh.tets.shape[1] == 4 else mesh.tets[:, TEN_NODES]
    first = 1
    for dimension, nodes, owners in (
        (2, triangles, 1 + index.ravel()),
        (3, tets, mesh.grain_ids),
    ):
        kind = KINDS[dimension, nodes.shape[1]]
        for tag in np.unique(owners).tolist():
            rows = np.flatnonzero(owners == tag)
            model.mesh.addElementsByType(tag, kind, first + rows, 1 + nodes[rows].ravel())
        first += len(nodes)
    if len(wedges):
        tags = first + np.arange(len(wedges))
        model.mesh.addElementsByType(mesh.n_grains + 3, 6, tags, 1 + wedges.ravel())
        model.addPhysicalGroup(3, [mesh.n_grains + 3], mesh.n_grains + 3, "cohesive")
    model.mesh.reclassifyNodes()
    for grain in grains:
        model.addPhysicalGroup(3, [grain], grain, f"grain_{grain:05d}")
    for k, name in enumerate(("outer", "grain_boundary")):
        surfaces = 1 + np.flatnonzero((found[:, 0] > 0) == k)
        if len(surfaces):
            model.addPhysicalGroup(2, surfaces.tolist(), mesh.n_grains + 1 + k, name)
    facts = json.dumps(dict(mesh.facts), sort_keys=True)
    model.setAttribute("Comments", ["coordinates in um", facts])


def as_gmsh_reads(path):
    """Everything that gmsh finds in a file, and what it says about it."""
    with gmsh_model() as gmsh:
        gmsh.logger.start()
        gmsh.open(str(path))
        said = gmsh.logger.get()
        gmsh.logger.stop()
        model = gmsh.model
        tags, coordinates, _ = model.mesh.getNodes()
        entities = {}
        for dimension, tag in model.getEntities():
            kinds, numbers, nodes = model.mesh.getElements(dimension, tag)
            entities[dimension, tag] = {
                "kinds": kinds.tolist(),
                "elements": [n.tolist() for n in numbers],
                "nodes": [n.tolist() for n in nodes],
                "groups": model.getPhysicalGroupsForEntity(dimension, tag).tolist(),
                "box": np.round(model.getBoundingBox(dimension, tag), 5).tolist(),
                "neighbours": [sorted(t.tolist()) for t in model.getAdjacencies(dimension, tag)],
            }
        (kind,) = {k for e in entities.values() for k in e["kinds"]} & {4, 11}
        elements = model.mesh.getElementsByType(kind)[0]
        return {
            "complaints": [line for line in said if not line.startswith("Info")],
            "points": coordinates.reshape(-1, 3)[np.argsort(tags)].tolist(),
            "entities": entities,
            "names": {g: model.getPhysicalName(*g) for g in model.getPhysicalGroups()},
            "comments": list(model.getAttribute("Comments")),
            "quality": list(model.mesh.getElementQualities(elements, "minSICN")),
            "gamma": list(model.mesh.getElementQualities(elements, "gamma")),
        }
