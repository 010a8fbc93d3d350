"""The launches that nativeopt_ptx_snapshots leaves."""

import json

import numpy as np

from .memory import Memory


class Snapshot:
    def __init__(self, path):
        """`path` without its extension."""
        with open(path + ".json", encoding="utf-8") as file:
            data = json.load(file)
        self.kernel = data["kernel"]
        self.blocks, self.threads = data["blocks"], data["threads"]
        self.parameters = bytes.fromhex(data["parameters"])
        self.variables = data["variables"]
        self.regions = [tuple(region) for region in data["memory"]]
        size = sum(size for _, size in self.regions)
        both = np.fromfile(path + ".bin", np.uint8)
        if both.size != 2 * size:
            raise ValueError(f"{path}.bin has {both.size} bytes instead of {2 * size}")
        self.before, self.after = both[:size], both[size:]

    def memory(self):
        return Memory(self.regions, self.before.copy())
