"""What became of labelled voxels in their mesh, grain by grain, measured on the labels as given."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...generator.particle import OUTSIDE
from ..certificate.certificate import NAMED, SMALL_PIXELS, Certificate, LostGrain, certify
from ..certificate.conformity import conformity
from ..certificate.fidelity import LARGE_PIXELS, Percentiles, even_samples
from ..mesh.body import Body
from ..mesh.volume_mesh import VolumeMesh
from .label_volume import LabelVolume
from .pieces import Repair

LARGEST_LOSS = 0.005  # of the given volume: beyond it a mesh is refused
SHRUNKEN = 0.3  # a grain that misses more than this part of its voxels has lost what it misses
LISTED = 50  # rows of a list in the facts; the totals count all


@dataclass(frozen=True, eq=False)
class Comparison:
    """Labels as given and their mesh; volumes in um^3.

    Parameters
    ----------
    given, meshed : (n_grains + 1,) float
        Volume of each grain: of its voxels, and in the mesh.
    repair
        What was dropped and filled before.
    moved
        Rows of (from, to, volume) of pieces of the mesh that another grain got.
    mislabelled
        Part of the mesh that lies in voxels with another label.
    """

    given: NDArray[np.float64]
    meshed: NDArray[np.float64]
    repair: Repair
    voxel_um3: float
    moved: tuple[tuple[int, int, float], ...]
    mislabelled: float

    @property
    def lost_grains(self) -> list[int]:
        """Grains without an element."""
        lost: list[int] = np.flatnonzero((self.given > 0) & (self.meshed == 0)).tolist()
        return lost

    @property
    def lost(self) -> NDArray[np.float64]:
        """Volume that each grain lost, (n_grains + 1,).

        What was dropped or moved; all that it misses if that is more than smoothing takes.
        """
        away = np.zeros(len(self.given))
        for grain, _, n in self.repair.dropped:
            away[grain] += n * self.voxel_um3
        for source, _, volume in self.moved:
            away[source] += volume
        missing = self.given - self.meshed
        shrunken = missing > SHRUNKEN * self.given
        lost: NDArray[np.float64] = np.where(shrunken, np.maximum(missing, away), away)
        return lost

    @property
    def lost_share(self) -> float:
        """The same of all grains, as a part of the given volume."""
        return float(self.lost.sum() / self.given.sum())

    @property
    def causes(self) -> str:
        """How volume was lost, for people."""
        moved, grains = sum(volume for _, _, volume in self.moved), self.lost_grains
        named = ", ".join(f"{g}: {self.given[g]:.2g} um^3" for g in grains[:NAMED])
        shrunken = np.flatnonzero(self.given - self.meshed > SHRUNKEN * self.given)
        return (
            f"{self.repair.n_dropped * self.voxel_um3:.3g} um^3 lie apart from the body, "
            f"{moved:.3g} um^3 went to other grains, {len(grains)} grains have no element"
            + (f" ({named}{', ...' if len(grains) > NAMED else ''})" if grains else "")
            + f", {len(shrunken) - len(grains)} more miss over {SHRUNKEN:.0%}"
        )

    @property
    def worst(self) -> tuple[int, float]:
        """Grain of at least `SMALL_PIXELS` voxels with the largest error, and mesh / given - 1."""
        large = np.flatnonzero(self.given >= SMALL_PIXELS * self.voxel_um3 * (1 - 1e-9))
        if len(large) == 0:
            return OUTSIDE, 0.0
        error = self.meshed[large] / self.given[large] - 1
        k = int(np.abs(error).argmax())
        return int(large[k]), float(error[k])

    def document(self) -> dict[str, Any]:
        """The same as JSON values."""
        voxel, (worst, error) = self.voxel_um3, self.worst
        moved = sorted(self.moved, key=lambda row: (-row[2], row))[:LISTED]
        return {
            "given_um3": _digits(self.given.sum()),
            "mesh_um3": _digits(self.meshed.sum()),
            "n_dropped_pieces": len({piece for _, piece, _ in self.repair.dropped}),
            "dropped_um3": _digits(self.repair.n_dropped * voxel),
            "dropped_grain_piece_um3": [
                [grain, piece, _digits(n * voxel)]
                for grain, piece, n in self.repair.dropped[:LISTED]
            ],
            "filled_um3": _digits(self.repair.n_filled * voxel),
            "filled_grain_um3": [
                [grain, _digits(n * voxel)] for grain, n in self.repair.filled[:LISTED]
            ],
            "moved_um3": _digits(sum(volume for _, _, volume in self.moved)),
            "moved_from_to_um3": [[a, b, _digits(volume)] for a, b, volume in moved],
            "lost_um3": _digits(self.lost.sum()),
            "lost_share": _digits(self.lost_share),
            "lost_grain_um3": [[g, _digits(self.given[g])] for g in self.lost_grains],
            "worst_grain": worst,
            "worst_grain_error": _digits(error),
            "mislabelled_voxels": _digits(self.mislabelled),
        }


def compared(
    given: LabelVolume,
    volumes: NDArray[np.float64],
    mesh: VolumeMesh,
    repair: Repair,
    moved: tuple[tuple[int, int, float], ...],
) -> Comparison:
    """Compare a mesh, in the coordinates of the voxels, with the labels as given.

    ``volumes`` are those of the given grains, or of the parts of them that are meshed.
    """
    points, grain_ids = even_samples(mesh)
    return Comparison(
        volumes,
        np.concatenate([[0.0], mesh.grain_volumes]),
        repair,
        given.pitch_um**3,
        moved,
        float((given.voxels_at(points) != grain_ids).mean()),
    )


def comparison_lines(document: dict[str, Any]) -> Iterator[str]:
    """What `Comparison.document` says, for people, a line each."""
    given, mesh = document["given_um3"], document["mesh_um3"]
    yield (
        f"given {given:.4g} um^3, in the mesh {mesh:.4g} um^3 ({100 * (mesh / given - 1):+.2f} %); "
        f"dropped {document['dropped_um3']:.3g}, moved to other grains "
        f"{document['moved_um3']:.3g}, cavities filled {document['filled_um3']:.3g} um^3"
    )
    lost = document["lost_grain_um3"]
    named = ", ".join(f"{grain}: {volume:.2g} um^3" for grain, volume in lost[:NAMED])
    yield (
        f"lost {100 * document['lost_share']:.3f} % of the volume; grains without an element: "
        f"{len(lost)}{f' ({named})' if lost else ''}{', ...' if len(lost) > NAMED else ''}"
    )
    if document["worst_grain"]:
        yield (
            f"worst grain of {SMALL_PIXELS} voxels and more: {document['worst_grain']}, "
            f"{100 * document['worst_grain_error']:+.1f} % of its voxels; in voxels of another "
            f"label: {100 * document['mislabelled_voxels']:.1f} % of the mesh"
        )


def loss_sentence(share: float, what: str) -> str:
    """Why labels are refused of which more is lost than `LARGEST_LOSS`."""
    return (
        f"{100 * share:.3g} % of the given volume is lost, expected at most "
        f"{100 * LARGEST_LOSS:g} %: {what}"
    )


def certify_grains(
    given: NDArray[np.float64],
    grain_of: NDArray[np.int32],
    mesh: VolumeMesh,
    body: Body,
    volumes: NDArray[np.float64],
    targets: NDArray[np.float64],
) -> Certificate:
    """Certificate of a mesh of the pieces ``body``: its grains against the labels as given.

    Grains that were dropped before are not among those that it calls lost.

    Parameters
    ----------
    given : (n_grains + 1,) float
        Volumes of the grains as given, um^3.
    grain_of : (n_pieces + 1,) int32
        Grain of each piece.
    mesh, body, volumes, targets
        Of the pieces, as `certify` takes them.
    """
    certificate = certify(mesh, body, volumes, targets)
    grains = of_grains(mesh, grain_of, len(given) - 1)
    own = np.concatenate([[0.0], grains.grain_volumes])
    after = np.bincount(grain_of, targets, minlength=len(given))
    missing = (np.bincount(grain_of, volumes, minlength=len(given)) > 0) & (own == 0)
    known = np.flatnonzero((given > 0) | (own > 0)).tolist()
    large = given >= LARGE_PIXELS * body.pixel_um**3
    return replace(
        certificate,
        n_grains=grains.n_grains,
        n_present=int((own > 0).sum()),
        conformity=conformity(grains, pieces_are_kept=True),
        fidelity=replace(
            certificate.fidelity,
            body_volume_um3=float(given.sum()),
            grain_volume_error=Percentiles.of(np.abs(own[large] / given[large] - 1)),
        ),
        lost=tuple(LostGrain(g, float(given[g])) for g in np.flatnonzero(missing).tolist()),
        grain_volumes_um3=tuple(
            (g, float(given[g]), float(after[g]), float(own[g])) for g in known
        ),
    )


def of_grains(mesh: VolumeMesh, grain_of: NDArray[np.int32], n_grains: int) -> VolumeMesh:
    """The same mesh with the grain of each piece for its number."""
    return replace(mesh, grain_ids=grain_of[mesh.grain_ids], n_grains=n_grains)


def _digits(value: float) -> float:
    return float(f"{value:.6g}")
