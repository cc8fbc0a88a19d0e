"""Linear finite elements in a few lines: a reference that depends on no solver."""

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.linalg import spsolve


def _assembled(local, nodes, n):
    """Sparse matrix (n, n) from element matrices (m, k, k)."""
    rows = np.broadcast_to(nodes[:, :, None], local.shape)
    columns = np.broadcast_to(nodes[:, None, :], local.shape)
    return coo_array((local.ravel(), (rows.ravel(), columns.ravel())), (n, n)).tocsc()


def volumes(points, tets):
    x = points[tets]
    return np.linalg.det(x[:, 1:] - x[:, :1]) / 6


def conduction(points, tets, tensors):
    """Matrix of the form grad v . D grad u with D (m, 3, 3)."""
    x = points[tets]
    gradients = np.linalg.inv(x[:, 1:] - x[:, :1]).transpose(0, 2, 1)
    gradients = np.concatenate([-gradients.sum(axis=1, keepdims=True), gradients], axis=1)
    local = np.einsum("tai,tij,tbj,t->tab", gradients, tensors, gradients, volumes(points, tets))
    return _assembled(local, tets, len(points))


def jumps(points, wedges):
    """Matrix of the form [u] [v] on wedges without thickness, (k, 6) nodes."""
    a, b, c = (points[wedges[:, k]] for k in range(3))
    area = np.linalg.norm(np.cross(b - a, c - a), axis=1) / 2
    mass = (1 + np.eye(3)) / 12
    local = area[:, None, None] * np.kron([[1, -1], [-1, 1]], mass)
    return _assembled(local, wedges, len(points))


def source(points, tets):
    """Vector of the form v."""
    load = np.zeros(len(points))
    np.add.at(load, tets, volumes(points, tets)[:, None] / 4)
    return load


def solved(matrix, load, held):
    """Solution that is zero at the nodes ``held``."""
    free = np.setdiff1d(np.arange(len(load)), held)
    u = np.zeros(len(load))
    u[free] = spsolve(matrix[free][:, free], load[free])
    return u
