"""Reading a checkpoint, and judging whether it fits a network.

No code of a file is ever run: ``torch.load(weights_only=True)`` or safetensors.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor

from cache.errors import CorruptData, FeaturepackError, InvalidRequest
from worker.sources.source import IngestLimits
from worker.sources.zip_file import open_zip

WRAPPERS = ("state_dict", "model")
"""Keys below which training scripts keep the state dict, beside optimiser and epoch."""

_OLD_NAMES = (
    # torchvision's own files of these families were saved before their modules were renamed.
    (re.compile(r"(denselayer\d+\.(?:norm|relu|conv))\.([12]\.)"), r"\1\2"),
    (re.compile(r"(encoder_layer_\d+\.mlp)\.linear_1\."), r"\1.0."),
    (re.compile(r"(encoder_layer_\d+\.mlp)\.linear_2\."), r"\1.3."),
)

_REFUSED = re.compile(r"unsupported global|unrecognized function|Can only|TorchScript", re.I)
"""How torch says that a file wants more than tensors; anything else it says means damage."""


def load_state_dict(path: Path, name: str = "") -> dict[str, Tensor]:
    """A checkpoint's tensors by parameter name, on the CPU, in the file's own dtypes.

    Reads ``.safetensors`` and what ``torch.save`` wrote, in its old or its zip format, without
    running code from it. A wrapper (``state_dict``, ``model``) and the prefix ``module.`` are
    taken off, and names that torchvision has given up are brought up to date. Errors call the file
    ``name``, or by its path's last part.

    Raises:
        CorruptData: the file is cut off, or no checkpoint at all.
        InvalidRequest: it holds objects other than tensors in a state dict.
    """
    shown = name or path.name
    loaded = _read(path, shown)
    for wrapper in WRAPPERS:
        if isinstance(loaded, dict) and isinstance(loaded.get(wrapper), dict):
            loaded = loaded[wrapper]
            break
    plain = isinstance(loaded, dict) and all(
        isinstance(name, str) and _is_plain(value) for name, value in loaded.items()
    )
    if not plain or not loaded:
        raise InvalidRequest(
            f"{shown} holds no state dict, that is parameter names with their tensors",
            value=shown,
            remedy="save model.state_dict() with torch.save or safetensors, and upload that",
        )
    if all(name.startswith("module.") for name in loaded):
        loaded = {name.removeprefix("module."): value for name, value in loaded.items()}
    return {_new_name(name): value.detach() for name, value in loaded.items()}


def fault(name: str, wanted: Tensor, state: Mapping[str, Tensor]) -> str:
    """What keeps a checkpoint's parameter from being used as ``wanted``; empty if nothing does."""
    if name not in state:
        return "is missing"
    if misfit := _misfit(wanted, state[name]):
        return misfit
    # torchvision's vgg16 IMAGENET1K_FEATURES fills the classifier that it lacks with NaN.
    finite = torch.isfinite(state[name].to(wanted.dtype)).all()
    return "" if bool(finite) else "holds values that are not finite"


def check_parameters(
    network: str,
    expected: Mapping[str, Tensor],
    state: Mapping[str, Tensor],
    *,
    head: str,
    ignored: tuple[str, ...] = (),
) -> None:
    """Whether ``state``, whole or in part, has the names and shapes of ``expected``.

    Parameters below the prefix ``head`` may differ freely, as fine-tuning replaces the classifier;
    those below the prefixes ``ignored`` are not looked at.

    Raises:
        InvalidRequest: it shares little with the network, has parameters that the network has
            not, or parameters of another shape or kind.
    """
    free = (head, *ignored)
    foreign = [name for name in state if name not in expected and not name.startswith(free)]
    misfits = {name: _misfit(expected[name], state[name]) for name in state if name in expected}
    wrong = [f"{name} {why}" for name, why in misfits.items() if why and not name.startswith(free)]
    fitting = sum(not why for why in misfits.values())
    if 2 * fitting < len(state):
        message = f"this is a checkpoint of another network: {fitting} of its {len(state)} "
        message += f"parameters fit {network}; it has {some([*foreign, *wrong])}"
    elif foreign:
        message = f"this is a checkpoint of another network: {network} has no {some(foreign)}"
    elif wrong:
        message = f"this checkpoint does not fit {network}: {some(wrong)}"
    else:
        return
    raise InvalidRequest(
        message,
        value=network,
        remedy="name the network that it was trained as, one of GET /v1/networks; parameters must "
        "have torchvision's names and shapes",
    )


def some(items: Sequence[str], shown: int = 3) -> str:
    """The first few of a list, for a sentence."""
    rest = f" and {len(items) - shown} more" if len(items) > shown else ""
    return ", ".join(items[:shown]) + rest


def _misfit(wanted: Tensor, given: Tensor) -> str:
    if given.shape != wanted.shape:
        return f"has shape {list(given.shape)} instead of {list(wanted.shape)}"
    if given.is_floating_point() != wanted.is_floating_point():
        return f"is {given.dtype} instead of {wanted.dtype}"
    return ""


def _read(path: Path, name: str) -> Any:
    try:
        if path.suffix == ".safetensors":
            return safetensors.torch.load_file(path)
        if zipfile.is_zipfile(path):
            _check_sizes(path, name)
        return torch.load(path, map_location="cpu", weights_only=True)
    except (FileNotFoundError, PermissionError, FeaturepackError):
        raise
    except Exception as error:  # whatever its readers meet in a damaged file, OSError included
        if _REFUSED.search(str(error)):
            raise InvalidRequest(
                f"{name} holds code or objects beside tensors, which are never loaded",
                value=name,
                remedy="save model.state_dict() alone, with torch.save or as safetensors",
            ) from error
        raise CorruptData(
            f"{name} is cut off, damaged or no checkpoint",
            value=name,
            remedy="copy or upload the file again",
        ) from error


def _check_sizes(path: Path, name: str) -> None:
    """Refuse a zip that unpacks to more than it is: torch would, before anybody looks at shapes.

    torch.save never compresses, and writes each record once.
    """
    with open_zip(path, IngestLimits()) as archive:
        members = archive.infolist()
    packed = any(member.compress_type != zipfile.ZIP_STORED for member in members)
    if packed or sum(member.file_size for member in members) > path.stat().st_size:
        raise InvalidRequest(
            f"{name} unpacks to more bytes than it has",
            value=name,
            remedy="save model.state_dict() with torch.save, which does not compress",
        )


def _is_plain(value: object) -> bool:
    return (
        isinstance(value, Tensor)
        and value.layout is torch.strided
        and value.device.type == "cpu"  # meta has shapes and no values
        and not value.is_quantized
    )


def _new_name(name: str) -> str:
    for pattern, replacement in _OLD_NAMES:
        name = pattern.sub(replacement, name)
    return name
