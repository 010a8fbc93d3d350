"""The device that a script runs on."""

from __future__ import annotations

import torch


def open_device(name: str) -> torch.device:
    """Makes "cpu", "cuda" or "cuda:1" the current device; a ValueError says why that is not possible."""
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ValueError(f"--device {name}: {str(error).splitlines()[0]}") from error
    if device.type == "cpu":
        return device
    if device.type != "cuda":
        raise ValueError(f"--device {name}: NativeOpt has the backends cpu and cuda")
    index = device.index or 0
    if not torch.cuda.is_available():
        raise ValueError(f"--device {name}: torch sees no CUDA device; --device cpu tries the script out")
    if index >= torch.cuda.device_count():
        raise ValueError(f"--device {name}: there are {torch.cuda.device_count()} devices, counted from 0")
    torch.cuda.set_device(index)
    return torch.device("cuda", index)
