"""Compiled kernel: a layer of the marker net in one order of operations."""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(cache=True, nogil=True)
def layer(inputs, weights, bias):  # type: ignore[no-untyped-def]
    """W x + b for inputs (n, n_in), transposed weights (n_in, n_out): products one by one.

    Libraries of linear algebra add in an order, and with contractions, of their own choice;
    this gives equal bits everywhere.
    """
    out = np.zeros((inputs.shape[0], bias.size))
    for row in range(inputs.shape[0]):
        own = out[row]
        for i in range(inputs.shape[1]):
            x = inputs[row, i]
            for j in range(bias.size):
                own[j] += x * weights[i, j]
        own += bias
    return out
