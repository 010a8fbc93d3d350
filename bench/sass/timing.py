"""Counts what a block executes, and follows the time of its first warp, as if it were alone."""

from collections import Counter

import numpy as np

from . import gpus
from .gpus import WARP
from .listing import NO_BARRIER

LINE, SECTOR = 128, 32



class Timeline:
    """An observer of a Machine. Totals are of the block, times of its first warp.

    An instruction starts when the scoreboards that it waits for are free, and the next one not before the cycles that
    the assembler has noted. A load from a buffer takes the memory's latency where it touches a sector for the first
    time; one from a table takes that of the second cache."""

    def __init__(self, arch, memory, large):
        """`large`: the bytes that a region of elements has at least; smaller ones are tables."""
        facts = gpus.ARCHITECTURES[arch]
        self.latency = {kind: cycles * (gpus.LOADED if kind in ("dram", "l2") else 1)
                        for kind, cycles in facts.latencies.items()}
        self.elements = [size >= large for size in memory.sizes]
        self.issued_by_warps = 0
        self.cycles = Counter()  # lanes that go through each pipe, of the block
        self.read, self.written = set(), set()  # sectors
        self.now = 0.0
        self.free_at = [0.0] * 8
        self.sectors = {}  # of the first warp: when each is there
        self.in_flight = []  # (when it is there, bytes)
        self.rounds = 0  # waits for the memory
        self.held = 0.0  # bytes in flight at those

    def issued(self, instruction, group, mask, effect):
        self.issued_by_warps += group.warps
        pipe = gpus.PIPE_OF.get(instruction.opcode)
        passes = float(group.warps)
        if effect is not None:
            passes = max(passes, self._passes(effect, np.flatnonzero(mask) // WARP))
        if pipe is not None:
            self.cycles[pipe] += WARP * passes
        if group.has_first_warp:
            self._advance(instruction, effect, mask, passes / group.warps)

    def _passes(self, effect, warps):
        """Notes the sectors of an access; returns how often it goes through the pipe, for all warps: a line of the cache
        at a time, or a word of each bank."""
        space, region, addresses, width, writes = effect
        if space == "shared":
            return self._bank_passes(addresses, width, warps)
        if self.elements[region]:
            sectors = np.unique(addresses // np.uint64(SECTOR))
            (self.written if writes else self.read).update(sectors.tolist())
        lines = addresses // np.uint64(LINE) + (warps.astype(np.uint64) << np.uint64(58))
        return np.unique(lines).size

    @staticmethod
    def _bank_passes(addresses, width, warps):
        words = (addresses // np.uint64(4)).astype(np.int64)[:, None] + np.arange(max(1, width // 4))
        distinct = np.unique(words + (warps << 40)[:, None])
        banks = np.bincount((distinct >> 40) * 32 + distinct % 32, minlength=32 * (int(warps.max()) + 1))
        return banks.reshape(-1, 32).max(axis=1).sum()

    # ---- the first warp ----

    def _advance(self, instruction, effect, mask, passes):
        if instruction.waits or instruction.opcode == "DEPBAR":
            self._wait(instruction)
        done = self.now + gpus.OTHER_LATENCY
        if effect is not None and mask[:WARP].any():
            done = self._access(effect, int(mask[:WARP].sum()), passes)
        for barrier, at in [(instruction.write_barrier, done), (instruction.read_barrier, self.now + gpus.OTHER_LATENCY)]:
            if barrier != NO_BARRIER:
                self.free_at[barrier] = max(self.free_at[barrier], at)
        self.now += max(1, instruction.stall)

    def _wait(self, instruction):
        waits = [b for b in range(6) if instruction.waits >> b & 1]
        if instruction.opcode == "DEPBAR" and instruction.operands:
            waits.append(instruction.operands[0].index)
        until = max((self.free_at[b] for b in waits), default=0.0)
        if until > self.now:
            held = sum(size for at, size in self.in_flight if at > self.now)
            if held and any(self.now < at <= until for at, _ in self.in_flight):
                self.rounds += 1
                self.held += held
            self.now = until
            self.in_flight = [one for one in self.in_flight if one[0] > self.now]

    def _access(self, effect, lanes, passes):
        """When the result is there."""
        space, region, addresses, _, writes = effect
        if space == "shared":
            return self.now + self.latency["shared"] + passes - 1
        if writes:
            return self.now + gpus.OTHER_LATENCY
        if not self.elements[region]:
            return self.now + self.latency["l2"]
        done = self.now + self.latency["l1"]
        fresh = 0
        for sector in np.unique(addresses[:lanes] // np.uint64(SECTOR)).tolist():
            ready = self.sectors.get(sector)
            if ready is None:
                ready = self.sectors[sector] = self.now + self.latency["dram"]
                fresh += SECTOR
            done = max(done, ready)
        if fresh:
            self.in_flight.append((self.now + self.latency["dram"], fresh))
        return done
