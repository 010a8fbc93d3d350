"""What a kernel costs for each element, and what follows for a GPU."""

from dataclasses import dataclass

import numpy as np

from . import gpus
from .machine import Machine
from .timing import SECTOR, Timeline

TABLE = 1 << 15  # bytes; a region of elements has more


@dataclass
class Cost:
    """Of one element, of the first to the last instruction that a large set needs more of with each piece."""

    instructions: float  # of a warp, for each element of a lane
    lanes: dict  # through each pipe
    read: float  # bytes of memory
    written: float
    time: float  # cycles of a warp alone, for each element of a lane
    held: float  # bytes of loads in flight of a thread when it waits
    rounds: float  # such waits in a thread's pack of 8 elements

    @property
    def bytes(self):
        return self.read + self.written


def run(code, snapshot, blocks):
    """The first block of a launch of so many; the observer and the memory after it."""
    memory = snapshot.memory()
    timeline = Timeline(code.arch, memory, TABLE)
    Machine(code, memory, snapshot.parameters, gpus.ARCHITECTURES[code.arch].first_parameter, 0, snapshot.threads, blocks,
            shared_bytes=48 * 1024, observer=timeline).run()
    return timeline, memory


def wrong_bytes(snapshot, memory, written, blocks):
    """How many bytes that the block has written are not what the launch left there; and as many as are in the sectors that
    the launch has changed beyond what so many blocks write. (One that it writes may stay as it was.)"""
    changed = memory.image != snapshot.before
    wrong = int((changed & (memory.image != snapshot.after)).sum())
    should_change = 0
    for address, size, first in zip(memory.starts, memory.sizes, memory.offsets):
        if size >= TABLE:
            differs = snapshot.before[first:first + size] != snapshot.after[first:first + size]
            places = np.flatnonzero(differs) + address
            should_change += np.unique(places // SECTOR).size
    return wrong + SECTOR * max(0, should_change - len(written) * blocks)


def measure(code, snapshot, elements):
    """Half as many blocks take twice the pieces: what they cost more is what a piece costs, without what a block does
    once."""
    once, memory = run(code, snapshot, snapshot.blocks)
    twice, memory2 = run(code, snapshot, snapshot.blocks // 2)
    wrong = (wrong_bytes(snapshot, memory, once.written, snapshot.blocks) +
             wrong_bytes(snapshot, memory2, twice.written, snapshot.blocks // 2))
    own = elements / snapshot.blocks  # of the block's additional pieces
    lane = own / snapshot.threads
    waits = twice.rounds - once.rounds
    return Cost(
        instructions=(twice.issued_by_warps - once.issued_by_warps) * gpus.WARP / own,
        lanes={pipe: (twice.cycles[pipe] - once.cycles[pipe]) / own for pipe in twice.cycles},
        read=SECTOR * (len(twice.read) - len(once.read)) / own,
        written=SECTOR * (len(twice.written) - len(once.written)) / own,
        time=(twice.now - once.now) / lane,
        held=(twice.held - once.held) / waits / gpus.WARP if waits else 0.0,
        rounds=waits / lane * 8,
    ), wrong


@dataclass
class Estimate:
    needed: float  # bytes in flight of a multiprocessor, of loads
    held: float
    latency: float  # of the bandwidth, by the warps that are resident
    issue: float  # of the bandwidth, by the pipe that limits
    pipe: str

    @property
    def reach(self):
        return min(1.0, self.latency, self.issue)


def estimate(cost, gpu, warps):
    """`warps`: resident on a multiprocessor."""
    facts = gpus.ARCHITECTURES[gpu.arch]
    memory = cost.bytes / gpu.bytes_per_cycle  # cycles that the memory takes for an element
    lanes = dict(cost.lanes)
    times = {pipe: count / facts.rates[pipe] for pipe, count in lanes.items()}
    times["fma"] = (lanes.get("fma", 0) + lanes.get("imad", 0)) / facts.rates["fma"]
    times["issue"] = cost.instructions / gpus.ISSUE
    pipe = max(times, key=times.get)
    loaded = facts.latencies["dram"] * gpus.LOADED
    return Estimate(needed=gpu.bytes_per_cycle * loaded * cost.read / cost.bytes if cost.bytes else 0.0,
                    held=cost.held * gpus.WARP * warps,
                    latency=memory / (cost.time / gpus.WARP / warps), issue=memory / times[pipe], pipe=pipe)
