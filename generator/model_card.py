"""Model cards: one validated JSON document holds every parameter of a particle model."""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from .. import schemas
from .atomic import replacing, require_free
from .errors import ModelCardError, suggestion
from .grains.grain_size import GrainLaws, grain_size
from .html import table
from .markers.marker_law import CardLaw, Markers, Profile, RadialMarkers
from .markers.marker_net import MarkerNet
from .markers.radial_profile import RadialProfileMarkers
from .shell.model import ShellModel

SHIPPED = Path(str(files(__package__))) / "model_cards"

# What --set and with_parameters take: a field of the card each.
PARAMETERS = {
    "shell.diameter_um": "volume-equivalent diameter that every shell is scaled to, um",
    "shell.size_scale": "factor on the size of the shell",
    "shell.roughness": "factor on the coefficients a_lm with l >= 2",
    "shell.max_degree": "largest degree l of the shell",
    "grains.size_um": "mean equivalent diameter of the grains in space, um; sets grains.scale",
    "grains.scale": "factor on all lengths of the grains, their shapes kept",
    "grains.intensity": "seed points per cubic pixel; also changes shapes, unlike grains.size_um",
    "grains.elongation": "factor on the radial length of the grains, volume kept",
    "grains.offset_scale": "factor on the offsets r_i",
    "grains.tilt_deg": "spread of the long axes about the radius, degrees; null: the model's own",
    "grains.core_radius": "relative radius at which the core ends, of models that have a core",
    "grains.gradient": "factor on what differs between centre and surface, of models with profiles",
    "grains.metric": "norm (as published) or squared",
    "orientations.model": "none, uniform or radial",
    "orientations.spread_deg": "spread of the c-axis about the tangent plane, degrees",
}

SHAPING = frozenset(  # parameters after whose change grains have another size than was measured
    f"grains.{name}"
    for name in (
        "intensity", "elongation", "offset_scale", "tilt_deg", "core_radius", "gradient", "metric",
    )
)  # fmt: skip
MEANT = {  # names that users try
    f"grains.{name}": "grains.size_um"
    for name in ("diameter", "diameter_um", "size", "mean_diameter", "mean_diameter_um", "radius")
}


@dataclass(frozen=True, eq=False, repr=False)
class ModelCard:
    """Fitted parameters of shell, grains and orientations.

    Parameters
    ----------
    document
        Fields as in ``schemas/model_card-1.0.0.schema.json``.
    folder
        Where the file of weights lies that the card names, if it has a net.
    weights
        Content of that file, if it is at hand: a recipe holds it.

    Raises
    ------
    ModelCardError
        Lists every violation of the schema at once.
    """

    document: Mapping[str, Any]
    folder: Path = SHIPPED
    weights: bytes | None = None

    def __repr__(self) -> str:
        return f"ModelCard({self.name}: {self.document['title']})"

    def _repr_html_(self) -> str:
        """What notebooks show: parameters with their values and meanings, and limits."""
        parameters = [(key, self.parameter(key), meaning) for key, meaning in PARAMETERS.items()]
        limits = [("limit", limit) for limit in self.document["limits"]]
        title = f"{self.name}: {self.document['title']}"
        return table(parameters, title) + table(limits)

    def __post_init__(self) -> None:
        problems = schemas.problems(self.document, "model_card") or _contradictions(self.document)
        if problems:
            msg = "not a valid model card:\n  " + "\n  ".join(problems)
            raise ModelCardError(msg)
        object.__setattr__(self, "document", copy.deepcopy(dict(self.document)))

    @classmethod
    def load(cls, name_or_path: str | Path) -> ModelCard:
        """Card of a shipped model by its name, or of any JSON file by its path.

        Examples
        --------
        >>> ModelCard.load("nmc811-radial").intensity
        0.0012
        """
        shipped = str(name_or_path) in shipped_cards()
        path = SHIPPED / f"{name_or_path}.json" if shipped else Path(name_or_path)
        try:
            document = json.loads(path.read_text("utf-8"))
        except FileNotFoundError as error:
            meant = suggestion(str(name_or_path), shipped_cards())
            msg = f"no model card {str(name_or_path)!r}; {meant}, or give the path of a JSON file"
            raise ModelCardError(msg) from error
        except (OSError, ValueError, RecursionError) as error:
            msg = f"model card {path} cannot be read ({error}); expected a JSON document"
            raise ModelCardError(msg) from error
        try:
            return cls(document, path.parent)
        except ModelCardError as error:
            msg = f"{path} is {error}"
            raise ModelCardError(msg) from None

    def save(self, path: str | Path, *, overwrite: bool = False) -> Path:
        """Write the card, and its weights beside it if they do not come with the package.

        Files that are there already with the same content stay as they are. The card is
        written last, since it names the weights. Returns its path.

        Raises
        ------
        ExportError
            If another file is in the way and ``overwrite`` is not set, or one cannot be written.
        ModelCardError
            If the weights are missing or not those that the card was made with.
        """
        changed = self.changed_files(path)
        require_free(changed, overwrite)
        for file, content in changed.items():
            with replacing(file) as temporary:
                temporary.write_bytes(content)
        return Path(path)

    def changed_files(self, path: str | Path) -> dict[Path, bytes]:
        """Files that `save` writes, the card last: those that are not there with their content."""
        _ = self.marker_law  # raises if the weights are not the card's
        found, name = {}, self.grains["markers"].get("weights")
        if name is not None and (weights := self.own_weights) is not None:
            found[Path(path).with_name(name)] = weights
        text = json.dumps(self.document, indent=1, allow_nan=False, ensure_ascii=False)
        found[Path(path)] = f"{text}\n".encode()
        return {file: content for file, content in found.items() if _content(file) != content}

    @property
    def name(self) -> str:
        """Name of the model."""
        return str(self.document["name"])

    @property
    def sha256(self) -> str:
        """Hash of the canonical JSON of the card: what identifies the model."""
        text = json.dumps(self.document, sort_keys=True, separators=(",", ":"), allow_nan=False)
        return hashlib.sha256(text.encode()).hexdigest()

    @property
    def pixel_um(self) -> float:
        """Edge of a pixel of the grain frame, um: that of the sections, scaled."""
        return float(self.grains["pixel_um"] * self.grains.get("scale", 1.0))

    @property
    def intensity(self) -> float:
        """lambda, seed points per cubic pixel."""
        return float(self.document["grains"]["intensity"])

    @property
    def grains(self) -> Mapping[str, Any]:
        """Fields of the grain model."""
        fields: Mapping[str, Any] = self.document["grains"]
        return fields

    @property
    def orientations(self) -> Mapping[str, Any]:
        """Fields of the orientation model."""
        fields: Mapping[str, Any] = self.document["orientations"]
        return fields

    @cached_property
    def shell(self) -> ShellModel:
        """Model of the outer shell."""
        return ShellModel.from_fields(self.document["shell"])

    @cached_property
    def marker_law(self) -> CardLaw:
        """What draws the markers; reads the weights of a net and checks their hash."""
        fields = dict(self.document["grains"]["markers"])
        law = fields.pop("law")
        if law == "radial":
            return RadialMarkers.from_fields(fields)
        if law == "radial_profile":
            return _profile_law(self.grains)
        name, expected = fields.pop("weights"), fields.pop("weights_sha256")
        content = self.own_weights or _content(SHIPPED / name)
        found = "no file" if content is None else hashlib.sha256(content).hexdigest()
        if content is None or found != expected:
            msg = f"weights {self.folder / name} have sha256 {found}, the card expects {expected}"
            raise ModelCardError(msg)
        return MarkerNet.from_bytes(content, name, **fields)

    @property
    def own_weights(self) -> bytes | None:
        """Content of the file of weights, if there is one and it does not come with the package.

        With it in a recipe, a particle of a laboratory's own model can be regenerated anywhere.
        """
        fields = self.document["grains"]["markers"]
        if fields["law"] != "net" or self.folder == SHIPPED:
            return self.weights
        content = self.weights or _content(self.folder / fields["weights"])
        return None if content == _content(SHIPPED / fields["weights"]) else content

    @cached_property
    def laws(self) -> GrainLaws:
        """Of seed points and markers, lengths in pixels of `pixel_um`."""
        one = Markers(np.ones((1, 3)), np.ones(1)).elongated(self.grains["elongation"])
        tilt = self.grains.get("tilt_deg")
        return GrainLaws(
            law=self.marker_law,
            factors=one.with_offsets_scaled(self.grains["offset_scale"]),
            intensity=self.intensity,
            metric=self.grains["metric"],
            tilt_deg=self.marker_law.tilt_deg if tilt is None else Profile((0.0,), (tilt,)),
        )

    def with_size(self, seed: int = 0, n_balls: int = 1) -> ModelCard:
        """Copy that states how large its grains are, measured by `grain_size.grain_size`."""
        found = grain_size(self.laws, seed, n_balls)
        pixel = self.grains["pixel_um"]
        document = copy.deepcopy(dict(self.document))
        document["grains"]["size"] = {
            "mean_um": float(f"{pixel * found.mean:.4g}"),
            "std_um": float(f"{pixel * found.std:.4g}"),
            "n_grains": found.n_grains,
        }
        return ModelCard(document, self.folder, self.weights)

    def parameter(self, key: str) -> Any:
        """Value of one of ``PARAMETERS``; None for one that the model does not have or know."""
        section, field = _known(key).split(".")
        if key == "grains.size_um":
            size = self.grains.get("size")
            return size and float(f"{size['mean_um'] * self.parameter('grains.scale'):.10g}")
        return self.document[section].get(field, self._defaults.get(key))

    @property
    def _defaults(self) -> dict[str, Any]:
        """Values of the parameters that a card may leave out."""
        markers = self.grains["markers"]
        return {
            "grains.scale": 1.0,
            "grains.gradient": 1.0 if markers["law"] == "radial_profile" else None,
            "grains.core_radius": markers.get("core_radius"),
        }

    def with_parameters(self, changes: Mapping[str, Any]) -> ModelCard:
        """Copy with some of ``PARAMETERS`` changed.

        Raises
        ------
        ModelCardError
            For an unknown parameter (names the nearest) or values that are not allowed.

        Examples
        --------
        >>> ModelCard.load("nmc811").with_parameters({"grains.intensity": 0.001}).intensity
        0.001
        """
        document = copy.deepcopy(dict(self.document))
        direct = {key: value for key, value in changes.items() if key != "grains.size_um"}
        for key, value in direct.items():
            section, field = _known(key).split(".")
            document[section][field] = value
        if any(self.parameter(key) != value for key, value in direct.items() if key in SHAPING):
            document["grains"].pop("size", None)  # it was that of other grains
        card = ModelCard(document, self.folder, self.weights)
        if "grains.size_um" not in changes:
            return card
        if "grains.scale" in changes:
            msg = "grains.size_um and grains.scale are both set, expected one: size_um sets scale"
            raise ModelCardError(msg)
        return card._sized(changes["grains.size_um"])

    def _sized(self, mean_um: Any) -> ModelCard:
        """Copy with the scale that gives grains a mean equivalent diameter."""
        if isinstance(mean_um, bool) or not isinstance(mean_um, int | float) or not mean_um > 0:
            msg = f"grains.size_um is {mean_um!r}, expected a mean diameter above 0 um"
            raise ModelCardError(msg)
        card = self if "size" in self.grains else self.with_size()
        document = copy.deepcopy(dict(card.document))
        document["grains"]["scale"] = float(f"{mean_um / card.grains['size']['mean_um']:.12g}")
        return ModelCard(document, self.folder, self.weights)


def shipped_cards() -> list[str]:
    """Names of the cards that come with the package."""
    return sorted(path.stem for path in SHIPPED.glob("*.json"))


def _content(path: Path) -> bytes | None:
    return path.read_bytes() if path.is_file() else None


def _profile_law(grains: Mapping[str, Any]) -> RadialProfileMarkers:
    """Law with profiles, its core and gradient as the card's parameters ask for."""
    law = RadialProfileMarkers.from_fields(grains["markers"])
    if (core := grains.get("core_radius")) is not None:
        law = law.with_core(core)
    gradient = grains.get("gradient")
    return law.with_gradient(1.0 if gradient is None else gradient)


def _known(key: str) -> str:
    if key in MEANT:
        msg = f"unknown parameter {key!r}; did you mean {MEANT[key]!r}?"
        raise ModelCardError(msg)
    if key not in PARAMETERS:
        msg = f"unknown parameter {key!r}; {suggestion(key, sorted(PARAMETERS))}"
        raise ModelCardError(msg)
    return key


def _contradictions(document: Mapping[str, Any]) -> list[str]:
    """What a schema cannot say: relations between fields."""
    found = []
    shell = document["shell"]
    degrees = [order["degree"] for order in shell["orders"]]
    if degrees != list(range(1, len(degrees) + 1)):
        found.append(f"shell.orders: degrees are {degrees}, expected 1, 2, ... without a gap")
    if shell["max_degree"] > len(degrees):
        found.append(f"shell.max_degree: {shell['max_degree']} exceeds the {len(degrees)} orders")
    if shell["min_radius_um"] >= shell["max_radius_um"]:
        found.append("shell.min_radius_um: expected to be smaller than shell.max_radius_um")
    return found + _grain_contradictions(document["grains"])


def _grain_contradictions(grains: Mapping[str, Any]) -> list[str]:
    markers, found = grains["markers"], []
    for name, law in markers.items():
        if isinstance(law, dict) and "low" in law and law["low"] > law["high"]:
            found.append(f"grains.markers.{name}: low {law['low']} exceeds high {law['high']}")
    if markers["law"] == "radial_profile":
        try:
            _profile_law(grains)
        except ValueError as error:
            found.append(f"grains.markers: {error}")
        return found
    for name in ("core_radius", "gradient"):
        if grains.get(name) is not None:
            found.append(
                f"grains.{name}: the law {markers['law']!r} has no profiles from the centre to the "
                "surface, expected a model with profiles, for example nmc811-rods"
            )
    return found
