"""The memory that a launch finds: the regions of a snapshot, and what a kernel makes of them."""

import bisect

import numpy as np

SHARED_WINDOW = 0x7000_0000_0000 << 4  # above any address of the host


class Fault(Exception):
    """An access that no region holds."""


class Memory:
    """Regions of bytes by their addresses. Accesses are of all lanes at a time."""

    def __init__(self, regions, image):
        """`regions`: (address, bytes) by address; `image`: their bytes one after another."""
        self.starts = [address for address, _ in regions]
        self.sizes = [size for _, size in regions]
        self.offsets = np.concatenate([[0], np.cumsum(self.sizes)]).astype(np.int64)
        self.image = image

    def region(self, addresses, width):
        """The index of the region that holds all of them."""
        low, high = int(addresses.min()), int(addresses.max()) + width
        index = bisect.bisect_right(self.starts, low) - 1
        if index < 0 or high > self.starts[index] + self.sizes[index]:
            raise Fault(f"accesses {low:#x} to {high:#x}, which is not within one allocation")
        return index

    def _places(self, addresses, width, index):
        if (addresses % np.uint64(width)).any():
            raise Fault(f"an access of {width} bytes at {int(addresses[0]):#x} is not aligned")
        first = (addresses - np.uint64(self.starts[index])).astype(np.int64) + self.offsets[index]
        return first[:, None] + np.arange(width)

    def load(self, addresses, width, index):
        """One row of bytes for each address."""
        return self.image[self._places(addresses, width, index)]

    def store(self, addresses, values, index):
        self.image[self._places(addresses, values.shape[1], index)] = values
