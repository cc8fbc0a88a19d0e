"""The folder of a dataset: dataset.json, the model, the schemas; one dataset each, never mixed.

``dataset.json`` is written first, so that whatever lies beside it belongs to that
dataset, and once more when the index is there, with the totals.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from ... import schemas
from ...generator.errors import CathodegrainError, DatasetError, ExportError, ModelCardError
from ...generator.model_card import PARAMETERS, ModelCard
from ...generator.streams import DRAWS
from ..files.atomic import reason, replacing
from ..files.documents import document_text, read_document
from ..files.lock import locked
from ..files.provenance import generator_name
from . import layout
from .config import DatasetConfig
from .model_readme import model_readme

DESCRIPTIVE = ("config.title", "config.version", "config.year")  # no file of a particle has them
SHIPPED_SCHEMAS = ("dataset", "failure", "model_card", "particle")


@dataclass(frozen=True, eq=False)
class Dataset:
    """A dataset's folder and what is to be, or is, in it.

    Parameters
    ----------
    folder
        Where it lies.
    config
        What it was made from.
    contents
        Totals of a finished one; None while it is being built.
    draws
        `streams.DRAWS` of the program that made it; None for version 0.1.0, which gave none.
    """

    folder: Path
    config: DatasetConfig
    contents: dict[str, int] | None
    draws: int | None

    @property
    def is_part(self) -> bool:
        """Whether particles or products of it were fetched, and others were not."""
        return (self.folder / layout.FETCHED).is_file()


def document(config: DatasetConfig, contents: dict[str, int] | None = None) -> dict[str, Any]:
    """Content of dataset.json."""
    return {
        "schema": "cathodegrain/dataset",
        "schema_version": "1.0.0",
        "generator": generator_name(),
        "draws": DRAWS,
        "length_unit": "um",
        "config": config.document,
        "parameters": parameters(config),
        "contents": contents,
    }


def parameters(config: DatasetConfig) -> dict[str, Any]:
    """Values of all that --set can change."""
    return {key: config.card.parameter(key) for key in sorted(PARAMETERS)}


def read(folder: str | Path) -> Dataset:
    """Dataset of a folder.

    Raises
    ------
    DatasetError
        If there is none, or its documents are damaged or do not belong together.
    """
    folder = Path(folder)
    path = folder / layout.DATASET
    if not path.is_file():
        msg = f"{folder} holds no {layout.DATASET}; expected the folder of a dataset"
        raise DatasetError(msg)
    try:
        fields = read_document(path, "dataset")
        card = ModelCard.load(folder / layout.MODEL_CARD)
    except (ExportError, ModelCardError) as error:
        msg = f"{folder} is no sound dataset: {error}"
        raise DatasetError(msg) from error
    if card.sha256 != (expected := fields["config"]["model_sha256"]):
        msg = (
            f"{folder / layout.MODEL_CARD} has the canonical sha256 {card.sha256}, "
            f"{layout.DATASET} expects {expected}; one of them was changed"
        )
        raise DatasetError(msg)
    config = DatasetConfig.from_document(fields["config"], card)
    return Dataset(folder, config, fields["contents"], fields.get("draws"))


def derived(folder: str | Path, changes: Mapping[str, Any]) -> DatasetConfig:
    """Configuration of the dataset that has the draws of another, and changed parameters.

    Raises
    ------
    DatasetError
        If there is no dataset in ``folder``, it is of other draws, or nothing is changed.
    ModelCardError
        For unknown parameters or values that are not allowed.
    """
    parent = read(folder)
    if parent.draws is not None:  # else each particle is compared when it is regenerated
        require_draws(folder, parent.draws)
    return parent.config.derived(changes)


def require_draws(folder: str | Path, draws: int | None) -> None:
    """Raise a DatasetError unless ``draws``, those of a dataset, are this program's."""
    if draws != DRAWS:
        found = "draws without a number (version 0.1.0)" if draws is None else f"draws {draws}"
        msg = (
            f"{folder} is of {found}, this program has draws {DRAWS}: particles of both are never "
            f"mixed. Use the version of cathodegrain that {layout.DATASET} names, or build the "
            "dataset again in another folder"
        )
        raise DatasetError(msg)


def prepare(config: DatasetConfig, folder: str | Path) -> Dataset:
    """Folder that holds this dataset, made or found, with model and schemas.

    One that is found may hold fewer particles or have another title, version or year: its
    document is then written anew, and the dataset is unfinished until it is built.

    Raises
    ------
    DatasetError
        If it holds another dataset (says every difference) or one of other draws, other
        files, the operating system refuses, or another command changes it for too long.
    """
    folder = Path(folder)
    with on_disk(folder):
        folder.mkdir(parents=True, exist_ok=True)
    if not _is_of(config, folder):  # else many shards that start at once need not queue
        with changing(folder), on_disk(folder):
            _begin(config, folder)
    with on_disk(folder):
        _write_schemas(folder)
        _write_model(config.card, folder)
    return read(folder)


def _is_of(config: DatasetConfig, folder: Path) -> bool:
    """Whether the document of a folder is that of ``config``."""
    path = folder / layout.DATASET
    return path.is_file() and not _differences(read_document(path, "dataset"), document(config))


def _begin(config: DatasetConfig, folder: Path) -> None:
    """Let the document of a folder be that of ``config``, or refuse."""
    if (folder / layout.DATASET).is_file():
        _update(config, folder)
    else:
        _require_empty(folder)
        write_document(config, folder)


@contextmanager
def changing(folder: str | Path, wait_s: float | None = None) -> Iterator[None]:
    """Keep other commands from writing a dataset's documents during the block.

    Particles are made without it: each comes to its place by one rename.

    Raises
    ------
    DatasetError
        If another process has the lock for too long (see `locked`), or there can be none.
    """
    with ExitStack() as stack:
        try:
            with on_disk(folder):
                stack.enter_context(locked(folder, wait_s=wait_s))
        except ExportError as error:
            raise DatasetError(str(error)) from error
        yield


@contextmanager
def on_disk(folder: str | Path) -> Iterator[None]:
    """Raise a DatasetError if the operating system refuses something in the block.

    What a user's data cause, and memory, is left alone.
    """
    try:
        yield
    except (OSError, CathodegrainError) as error:
        cause: BaseException | None = error
        while cause is not None and not isinstance(cause, OSError):
            cause = cause.__cause__
        if cause is None:
            raise
        msg = (
            f"{folder} cannot be written or read ({reason(cause)}). Nothing is half-written: mend "
            "that, and the same command goes on from here"
        )
        raise DatasetError(msg) from error


def write_document(
    config: DatasetConfig, folder: Path, contents: dict[str, int] | None = None
) -> None:
    """Write dataset.json."""
    text = document_text(document(config, contents), "dataset")
    write_text(folder / layout.DATASET, text)


def write_text(path: Path, text: str) -> None:
    """Write a file of text, whole or not at all, unless it holds that text already."""
    if path.is_file() and path.read_bytes() == text.encode():
        return
    path.parent.mkdir(exist_ok=True)
    with replacing(path) as temporary:
        temporary.write_bytes(text.encode())


def _update(config: DatasetConfig, folder: Path) -> None:
    """Let the document of a dataset be that of ``config``, or refuse."""
    found = read_document(folder / layout.DATASET, "dataset")
    require_draws(folder, found.get("draws"))
    if not (differences := _differences(found, document(config))):
        return
    grows = found["config"]["count"] <= config.count
    if refused := [
        line
        for key, line in differences.items()
        if key not in DESCRIPTIVE and not (key == "config.count" and grows)
    ]:
        msg = (
            f"{folder} holds another dataset, and two are never mixed; choose another --out:\n  "
            + "\n  ".join(refused)
        )
        raise DatasetError(msg)
    write_document(config, folder)


def _differences(found: dict[str, Any], wanted: dict[str, Any]) -> dict[str, str]:
    """Every field in which two datasets differ, totals and program aside, and how."""
    aside = {"contents": None, "generator": None}
    there, here = (_flat(fields | aside) for fields in (found, wanted))
    return {
        key: f"{key}: {there.get(key, 'nothing')} there, {here.get(key, 'nothing')} asked for"
        for key in sorted(there | here)
        if there.get(key) != here.get(key)
    }


def _flat(value: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(value, dict) or not value:
        return {prefix: value}
    pairs: dict[str, Any] = {}
    for key, item in value.items():
        pairs |= _flat(item, f"{prefix}.{key}" if prefix else key)
    return pairs


def _require_empty(folder: Path) -> None:
    others = sorted(p.name for p in folder.iterdir() if not layout.is_passing(p.name))
    if others:
        msg = (
            f"{folder} holds {', '.join(others[:3])} but no {layout.DATASET}; a dataset starts in "
            "an empty or a new folder, choose another --out"
        )
        raise DatasetError(msg)


def _write_schemas(folder: Path) -> None:
    for name in SHIPPED_SCHEMAS:
        file = schemas.SCHEMAS[name]
        text = files(schemas).joinpath(file).read_text("utf-8")
        write_text(folder / layout.SCHEMA_FOLDER / file, text)


def _write_model(card: ModelCard, folder: Path) -> None:
    text = json.dumps(card.document, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    write_text(folder / layout.MODEL_CARD, text)
    write_text(folder / layout.MODEL_README, model_readme(card))
    weights = card.document["grains"]["markers"].get("weights")
    if weights is not None:
        _ = card.marker_law  # reads the weights and checks their hash
        target = layout.safe_path(folder / layout.MODEL_FOLDER, weights)
        if not target.is_file():
            with replacing(target) as temporary:
                shutil.copyfile(card.folder / weights, temporary)
