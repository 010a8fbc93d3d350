"""Whether two optimizers have taken the same steps, as far as the type of the parameters can tell."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

# How much of an update may differ, by the type that it is computed or kept in.
OF_UPDATE = {torch.float32: 1e-5, torch.bfloat16: 0.05}

# Elements that are compared at a time.
TOGETHER = 1 << 22


def disagreement(ours: list[Tensor], theirs: list[Tensor], start: list[Tensor], steps: int) -> str:
    """What is wrong with `theirs`, or nothing. Both began at `start`. Each step rounds a parameter up to two times,
    by half a unit in the last place each."""
    dtype = start[0].dtype
    moved = 0
    for mine, other, before in zip(*(in_batches(tensors) for tensors in (ours, theirs, start))):
        allowed = 2 * steps * torch.finfo(dtype).eps * mine.abs() + OF_UPDATE[dtype] * (mine - before).abs()
        difference = (mine - other).abs()
        outside = ~(difference <= allowed)  # a NaN is outside
        if outside.any():
            return (
                f"{int(outside.sum()):,} of {len(mine):,} parameters differ after {steps} steps, by "
                f"{difference.max().item():.3g} at most"
            )
        moved += int((mine != before).sum())
    elements = sum(tensor.numel() for tensor in start)
    return "" if 2 * moved >= elements else f"only {moved:,} of {elements:,} parameters have moved"


def in_batches(tensors: list[Tensor]) -> Iterator[Tensor]:
    """The elements in float32, several tensors together."""
    batch: list[Tensor] = []
    elements = 0
    for tensor in tensors:
        for part in tensor.split(TOGETHER):
            if batch and elements + part.numel() > TOGETHER:
                yield torch.cat(batch).float()
                batch, elements = [], 0
            batch.append(part)
            elements += part.numel()
    if batch:
        yield torch.cat(batch).float()
