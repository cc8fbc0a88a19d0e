"""Files that training goes on from: one safetensors file, no pickle.

Tensors are the weights of all nets and the moments of both optimisers; the header holds, as
JSON, the configuration, the step, the intensity, the state of the random numbers, the curve,
and what this file is. Training from it resumes to the bit as it would have gone without it, on the
same machine with the same number of threads; on a GPU see `repeatable`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ...errors import FitError
from ...markers.marker_law import Profile
from .training import TrainingConfig, TrainingState, first_state

KIND = "cathodegrain/training"
VERSION = "1.0.0"
MOMENTS = ("step", "exp_avg", "exp_avg_sq")  # of Adam


@dataclass(frozen=True)
class Checkpoint:
    """What a file holds.

    Parameters
    ----------
    config
        Of the training.
    state
        After its last step.
    notes
        Whatever the program that trains wants to find again, JSON values.
    """

    config: TrainingConfig
    state: TrainingState
    notes: Mapping[str, Any]


def write(checkpoint: Checkpoint, path: str | Path) -> None:
    """Write a file; the caller takes care that an old one survives a failure."""
    from safetensors.torch import save

    state = checkpoint.state
    header = {
        "kind": KIND,
        "version": VERSION,
        "config": asdict(checkpoint.config),
        "step": state.step,
        "intensity": state.intensity,
        "seen": state.seen,
        "curve": state.curve,
        "rng": _plain(state.rng.bit_generator.state),
        "notes": dict(checkpoint.notes),
    }
    text = json.dumps(header, sort_keys=True, allow_nan=False)
    # save_file would make a file that only its owner may read
    Path(path).write_bytes(save(_tensors(state), metadata={"state": text}))


def read(path: str | Path, device: str = "cpu") -> Checkpoint:
    """Checkpoint of a file, its state on a device, whichever it was written on.

    Raises
    ------
    FitError
        If the file is missing, damaged, of another kind or of another version.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(str(path), "pt") as file:
            header = json.loads((file.metadata() or {}).get("state", "{}"))
            _require_kind(path, header)
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        return _restored(header, tensors, device)
    except (OSError, SafetensorError, ValueError, KeyError, TypeError, RuntimeError) as error:
        msg = f"{path} cannot be used ({error}); expected a checkpoint that training has written"
        raise FitError(msg) from error


def _require_kind(path: str | Path, header: Mapping[str, Any]) -> None:
    found = header.get("kind"), header.get("version")
    if found != (KIND, VERSION):
        msg = (
            f"{path} is {found[0] or 'no checkpoint'}, version {found[1]}, expected {KIND}, "
            f"version {VERSION}: train again, or use the version of cathodegrain that wrote it"
        )
        raise FitError(msg)


def _restored(header: Mapping[str, Any], tensors: Mapping[str, Tensor], device: str) -> Checkpoint:
    fields: dict[str, Any] = {
        k: tuple(v) if isinstance(v, list) else v for k, v in header["config"].items()
    }
    if profile := fields.get("intensity_factor"):
        fields["intensity_factor"] = Profile(tuple(profile["t"]), tuple(profile["values"]), True)
    config = TrainingConfig(**fields)
    generator: Any = getattr(np.random, header["rng"]["bit_generator"])()
    generator.state = _arrays(header["rng"])
    state = first_state(config, np.random.default_rng(0), device)
    for name, module in _modules(state).items():
        module.load_state_dict(_part(tensors, f"{name}."))
    for name, (optimiser, module) in _optimisers(state).items():
        _restore_optimiser(optimiser, module, _part(tensors, f"{name}."))
    state.rng = np.random.Generator(generator)
    state.step, state.intensity = header["step"], header["intensity"]
    state.seen, state.curve = header["seen"], header["curve"]
    return Checkpoint(config, state, header["notes"])


def _modules(state: TrainingState) -> dict[str, nn.Module]:
    modules: dict[str, nn.Module] = {
        "generator": state.generator,
        "discriminator": state.discriminator,
    }
    return modules | ({"averaged": state.averaged} if state.averaged else {})


def _optimisers(state: TrainingState) -> dict[str, tuple[torch.optim.Adam, nn.Module]]:
    return {
        "generator_adam": (state.generator_optimiser, state.generator),
        "discriminator_adam": (state.discriminator_optimiser, state.discriminator),
    }


def _tensors(state: TrainingState) -> dict[str, Tensor]:
    found = {
        f"{name}.{key}": tensor.detach().cpu().clone()
        for name, module in _modules(state).items()
        for key, tensor in module.state_dict().items()
    }
    for name, (optimiser, module) in _optimisers(state).items():
        for key, parameter in module.named_parameters():
            for moment in MOMENTS:
                if moment in optimiser.state.get(parameter, {}):
                    tensor = optimiser.state[parameter][moment].cpu().clone()
                    found[f"{name}.{key}.{moment}"] = tensor
    return found


def _restore_optimiser(
    optimiser: torch.optim.Adam, module: nn.Module, tensors: Mapping[str, Tensor]
) -> None:
    for key, parameter in module.named_parameters():
        moments = _part(tensors, f"{key}.")
        if moments:  # Adam wants its number of steps on the CPU
            optimiser.state[parameter] = {
                name: tensor if name == "step" else tensor.to(parameter.device)
                for name, tensor in moments.items()
            }


def _part(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    n = len(prefix)
    return {name[n:]: tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def _plain(value: Any) -> Any:
    """State of a bit generator as JSON values: arrays as lists with their type."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, np.ndarray):
        return {"dtype": str(value.dtype), "values": [int(item) for item in value]}
    return int(value) if isinstance(value, np.integer) else value


def _arrays(value: Any) -> Any:
    if isinstance(value, dict) and set(value) == {"dtype", "values"}:
        return np.array(value["values"], dtype=value["dtype"])
    return {key: _arrays(item) for key, item in value.items()} if isinstance(value, dict) else value
