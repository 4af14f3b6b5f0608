"""Where the grid work of a training runs: the config's `training.device` as a torch device that is there."""

from __future__ import annotations

import torch

from dixc.errors import InputError


def chosen_device(name: str, rank: int = 0) -> torch.device:
    """The torch device of a setting "auto" (CUDA if it is there, else the CPU), "cpu", "cuda" or "cuda:<number>".

    Args:
        name: the setting.
        rank: of this process among those of a training; "cuda" is the first GPU for the first, and so on in turn.

    Raises:
        InputError: there is no such device, or this build of PyTorch cannot use it.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    device = torch.device(name)
    if device.type == "cpu":
        return device
    if not torch.cuda.is_available():
        built = torch.version.cuda is not None
        reason = "no usable GPU" if built else "this PyTorch is built without CUDA"
        raise InputError(f"training.device: {name!r} is not available ({reason}); use auto or cpu")
    count = torch.cuda.device_count()
    if device.index is not None and device.index >= count:
        raise InputError(
            f"training.device: {name!r} is not available ({count} CUDA device(s), counted from 0)"
        )
    return torch.device("cuda", rank % count) if device.index is None and rank else device
