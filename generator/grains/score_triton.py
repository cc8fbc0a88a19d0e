# mypy: allow-untyped-defs, allow-incomplete-defs
"""What the kernels of GPUs share: scores, the shell, convex dominance, as `gbpd_kernels` has them.

Each function has the operations of its namesake there in the same order, float64. That gives the
same bits if nothing is contracted to a fused multiply-add: launch with `EXACT`, and take roots of
float64 by ``tl.sqrt``, which is correctly rounded (of float32 it is approximate).
"""

from __future__ import annotations

import triton
import triton.language as tl

# no fused multiply-add; and without a number of registers the compiler takes fewer, and spills
EXACT = {"enable_fp_fusion": False, "maxnreg": 168}


@triton.jit
def radius_at(x, y, z, coefficients, degree):
    """X in the direction of (x, y, z): the operations of `spherical_harmonics.radius_at`."""
    scale = 1.0 / tl.sqrt(x * x + y * y + z * z)
    x = x * scale
    y = y * scale
    z = z * scale
    real = x - x  # a float64 zero; the literal would be a float32
    imag = x - x
    k = coefficients
    for n_powers in range(degree + 1):
        cosine = (x - x) + tl.load(k)
        sine = (x - x) + tl.load(k + 1)
        k += 2
        for _ in range(n_powers):
            cosine = cosine * z + tl.load(k)
            sine = sine * z + tl.load(k + 1)
            k += 2
        following = real * x - imag * y + cosine
        imag = real * y + imag * x - sine
        real = following
    return real


@triton.jit
def score(x, y, z, grain, SQUARED: tl.constexpr):
    """f_i(x) of one grain: the operations of `gbpd_kernels.score`."""
    dx = x - tl.load(grain)
    dy = y - tl.load(grain + 1)
    dz = z - tl.load(grain + 2)
    u0 = tl.load(grain + 3) * dx + (tl.load(grain + 4) * dy + tl.load(grain + 5) * dz)
    u1 = tl.load(grain + 6) * dy + tl.load(grain + 7) * dz
    u2 = tl.load(grain + 8) * dz
    q = u0 * u0 + (u1 * u1 + u2 * u2)
    if not SQUARED:
        q = tl.sqrt(q)
    return q - tl.load(grain + 9)


@triton.jit
def shell_state(cx, cy, cz, hx, hy, hz, lower, upper, steepest, coefficients, degree):
    """-1 outside, 1 inside, 0 not proven; and whether the centre lies inside for certain."""
    r = tl.sqrt(cx * cx + cy * cy + cz * cz)
    reach = tl.sqrt(hx * hx + hy * hy + hz * hz)
    tolerance = 1e-9 * upper
    state = 0
    owned = False
    if r + reach < lower - tolerance:
        state = 1
        owned = True
    elif r - reach > upper + tolerance:
        state = -1
    elif r > reach:
        slope = steepest / (r - reach)
        spread = reach * tl.sqrt(1.0 + slope * slope) + tolerance
        level = r - radius_at(cx, cy, cz, coefficients, degree)
        owned = level < -tolerance
        if level + spread < 0.0:
            state = 1
        elif level - spread > 0.0:
            state = -1
    return state, owned


@triton.jit
def centre_and_gradient(cx, cy, cz, hx, hy, hz, grains, g, mask, SQUARED: tl.constexpr):
    """Score at a tile's centre, and its gradient times the half widths, of a chunk of grains."""
    row = grains + g.to(tl.int64) * 10
    a = tl.load(row + 3, mask, 1.0)
    b = tl.load(row + 4, mask, 0.0)
    d = tl.load(row + 5, mask, 0.0)
    e = tl.load(row + 6, mask, 1.0)
    f = tl.load(row + 7, mask, 0.0)
    c = tl.load(row + 8, mask, 1.0)
    dx = cx - tl.load(row, mask, 0.0)
    dy = cy - tl.load(row + 1, mask, 0.0)
    dz = cz - tl.load(row + 2, mask, 0.0)
    u0 = a * dx + (b * dy + d * dz)
    u1 = e * dy + f * dz
    u2 = c * dz
    q = u0 * u0 + (u1 * u1 + u2 * u2)
    if SQUARED:
        weight = tl.zeros_like(q) + 2.0
        length = q
    else:
        length = tl.sqrt(q)
        weight = tl.where(length > 0.0, 1.0 / tl.where(length > 0.0, length, 1.0), 0.0)
    value = tl.where(mask, length - tl.load(row + 9, mask, 0.0), float("inf"))
    gx = weight * hx * (a * u0)
    gy = weight * hy * (b * u0 + e * u1)
    gz = weight * hz * (d * u0 + f * u1 + c * u2)
    return value, gx, gy, gz


@triton.jit
def left_on_box(
    cx, cy, cz, hx, hy, hz, grains, source, n, slack, target, cap,
    CHUNK: tl.constexpr, SQUARED: tl.constexpr,
):  # fmt: skip
    """Copy to ``target`` what `gbpd_kernels.cull` leaves of a list, at most ``cap``.

    Returns how many are left and where in the list the best grain at the centre is.
    """
    lanes = tl.arange(0, CHUNK)
    best = hx + float("inf")
    dominator = 0
    for base in range(0, n, CHUNK):
        mask = base + lanes < n
        g = tl.load(source + base + lanes, mask, 0)
        f, gx, gy, gz = centre_and_gradient(cx, cy, cz, hx, hy, hz, grains, g, mask, SQUARED)
        lowest = tl.min(f, 0)
        where = base + tl.argmin(f, 0)
        dominator = tl.where(lowest < best, where, dominator).to(tl.int32)
        best = tl.minimum(best, lowest)
    p = grains + tl.load(source + dominator).to(tl.int64) * 10
    x0, x1, y0, y1, z0, z1 = cx - hx, cx + hx, cy - hy, cy + hy, cz - hz, cz + hz
    c000 = score(x0, y0, z0, p, SQUARED)
    c100 = score(x1, y0, z0, p, SQUARED)
    c010 = score(x0, y1, z0, p, SQUARED)
    c110 = score(x1, y1, z0, p, SQUARED)
    c001 = score(x0, y0, z1, p, SQUARED)
    c101 = score(x1, y0, z1, p, SQUARED)
    c011 = score(x0, y1, z1, p, SQUARED)
    c111 = score(x1, y1, z1, p, SQUARED)
    used = 0
    for base in range(0, n, CHUNK):
        mask = base + lanes < n
        g = tl.load(source + base + lanes, mask, 0)
        f, gx, gy, gz = centre_and_gradient(cx, cy, cz, hx, hy, hz, grains, g, mask, SQUARED)
        plus, minus = gx + gy, gx - gy
        low = tl.minimum(
            tl.minimum(-plus - c000, minus - c100), tl.minimum(-minus - c010, plus - c110)
        ) - gz  # fmt: skip
        high = tl.minimum(
            tl.minimum(-plus - c001, minus - c101), tl.minimum(-minus - c011, plus - c111)
        ) + gz  # fmt: skip
        dominated = f + tl.minimum(low, high) > slack
        keep = mask & ((base + lanes == dominator) | ~dominated)
        one = keep.to(tl.int32)
        place = used + tl.cumsum(one, 0) - one
        tl.store(target + place, g, keep & (place < cap))
        used += tl.sum(one, 0)
    return used, dominator
