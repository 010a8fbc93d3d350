"""The tensors that bench.py steps over: sizes and how many of each."""

from __future__ import annotations

import re
from typing import NamedTuple

NAMED: dict[str, tuple[tuple[int, int], ...]] = {  # size, count
    "gpt2-124m": (
        (768, 74), (2304, 12), (3072, 12), (589824, 12), (786432, 1), (1769472, 12), (2359296, 24),
        (38597376, 1),
    ),
    "resnet50": (
        (64, 14), (128, 16), (256, 32), (512, 22), (1000, 1), (1024, 14), (2048, 8), (4096, 1), (9408, 1),
        (16384, 6), (32768, 1), (36864, 3), (65536, 7), (131072, 2), (147456, 4), (262144, 11), (524288, 2),
        (589824, 6), (1048576, 5), (2048000, 1), (2097152, 1), (2359296, 3),
    ),
    "vit-s16": (
        (384, 76), (1000, 1), (1152, 12), (1536, 12), (75648, 1), (147456, 12), (294912, 1), (384000, 1),
        (442368, 12), (589824, 24),
    ),
}  # fmt: skip

# What the bars in report.py are about comes first, in case time runs out. Four tensors compile fastest.
FULL = ("4x67108864", "gpt2-124m", "10000x64", "resnet50", "vit-s16", "1000x1024")
QUICK = ("gpt2-124m", "10000x64")
CPU = ("1x16777216", "200x10000", "1000x100", "10000x64", "gpt2-124m")
CPU_QUICK = ("200x10000", "1000x100")


class Shape(NamedTuple):
    name: str
    counts: list[int]  # elements of each tensor

    @property
    def elements(self) -> int:
        return sum(self.counts)


def parse(name: str) -> Shape:
    """A named shape, or COUNTxSIZE: that many tensors of that size."""
    if name in NAMED:
        return Shape(name, [size for size, count in NAMED[name] for _ in range(count)])
    match = re.fullmatch(r"([1-9][0-9]*)x([1-9][0-9]*)", name)
    if match is None:
        raise ValueError(
            f"{name!r} is no shape; give one of {', '.join(NAMED)}, or COUNTxSIZE such as 1x134217728"
        )
    return Shape(name, [int(match[2])] * int(match[1]))
