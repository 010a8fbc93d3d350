"""Runs the machine code of a block: all lanes that are at the same instruction at a time.

Lanes are in groups, each at one address, and the group with the lowest address goes on. A group divides where a branch
does, and waits where BSYNC, WARPSYNC or BAR says so, as the hardware's convergence barriers have it."""

import numpy as np

from .gpus import WARP
from .memory import SHARED_WINDOW, Memory
from .operands import Unknown
from .operations import compile_operation




class Stuck(Exception):
    """A block that does not come to its end."""


class Group:
    """Lanes that are at one address. The mask is never changed, but replaced."""

    def __init__(self, address, mask):
        self.address = address
        self.mask = mask

    @property
    def mask(self):
        return self._mask

    @mask.setter
    def mask(self, mask):
        self._mask = mask
        self.in_warps = mask.reshape(-1, WARP).any(axis=1)
        self.warps = int(self.in_warps.sum())
        self.has_first_warp = bool(self.in_warps[0])


class Machine:
    """`observer.issued(instruction, group, mask, effect)` is called for each instruction that is run: `group` has the lanes
    that it is issued for, `mask` are those of them that its guard lets do something, and `effect` is what its operation
    returns: for accesses to memory (space, index of the region, addresses of the lanes in `mask`, width, writes), or
    None."""

    def __init__(self, code, memory, parameters, first_parameter, block=0, threads=256, blocks=1, shared_bytes=0,
                 observer=None):
        self.code = {instruction.address: i for i, instruction in enumerate(code.instructions)}
        self.instructions = code.instructions
        self.operations = [None] * len(code.instructions)
        self.memory = memory
        self.block, self.threads = block, threads
        self.observer = observer
        self.registers = np.zeros((256, threads), np.uint32)
        self.uniforms = np.zeros((64, threads), np.uint32)
        self.predicates = np.zeros((8, threads), bool)
        self.uniform_predicates = np.zeros((8, threads), bool)
        self.predicates[7] = self.uniform_predicates[7] = True
        self.everyone = np.ones(threads, bool)
        self.exited = np.zeros(threads, bool)
        self.warps = np.arange(threads) // WARP
        # Kernels of sm_90 begin behind the bytes that the driver keeps.
        self.shared = Memory([(0, shared_bytes + 1024)], np.zeros(shared_bytes + 1024, np.uint8))
        bank = bytearray(first_parameter) + parameters
        for at, value in [(0x0, threads), (0x4, 1), (0x8, 1), (0xC, blocks), (0x10, 1), (0x14, 1)]:
            bank[at:at + 4] = value.to_bytes(4, "little")
        bank[0x18:0x20] = SHARED_WINDOW.to_bytes(8, "little")
        self.banks = {0: bytes(bank), 2: code.constants}
        self.convergence = [np.zeros(threads, bool) for _ in range(16)]
        self.groups = [Group(code.instructions[0].address, self.everyone.copy())]
        self.waiting = []  # (group of one warp, lanes that it waits for, lanes of the warp)
        self.at_barrier = []

    # ---- constants and special registers ----

    def constant(self, bank, address):
        data = self.banks[bank]
        return int.from_bytes(data[address:address + 4], "little")

    def special(self, name):
        lanes = np.arange(self.threads, dtype=np.uint32)
        values = {
            "SR_TID.X": lanes, "SR_CTAID.X": self.block, "SR_LANEID": lanes % WARP, "SR_CgaCtaId": 0,
            "SR_SWINLO": SHARED_WINDOW & 0xFFFFFFFF, "SR_SWINHI": SHARED_WINDOW >> 32, "SRZ": 0
        }
        return np.broadcast_to(np.asarray(values[name], np.uint32), (self.threads,))

    # ---- control ----

    def run(self, most=10_000_000):
        with np.errstate(all="ignore"):  # infinities and NaNs are results like others
            for _ in range(most):
                if self.groups:
                    self._step(min(self.groups, key=lambda one: one.address))
                elif not self._release():
                    return
        raise Stuck("the block runs for too long")

    def _step(self, group):
        index = self.code[group.address]
        instruction = self.instructions[index]
        mask = group.mask
        does_something = True
        if instruction.guard is not None:
            guard = instruction.guard
            bank = self.uniform_predicates if guard.kind == "upredicate" else self.predicates
            mask = mask & (bank[guard.index] ^ guard.negated)
            does_something = mask.any()
        handler = CONTROL.get(instruction.opcode)
        if handler is not None:
            if self.observer is not None:
                self.observer.issued(instruction, group, mask, None)
            group.address = self._next(index)
            if does_something:
                handler(self, group, instruction, mask)
        else:
            operation = self.operations[index]
            if operation is None:
                operation = self.operations[index] = compile_operation(instruction, self)
            effect = operation(mask) if does_something else None
            if self.observer is not None:
                self.observer.issued(instruction, group, mask, effect)
            group.address = self._next(index)
        if len(self.groups) > 1:
            self._merge()

    def _next(self, index):
        return self.instructions[index + 1].address if index + 1 < len(self.instructions) else None

    def _merge(self):
        """Lanes of different warps that are at the same instruction run it together. Those of one warp that went two ways
        do so only after they met at a barrier."""
        kept = []
        for group in self.groups:
            for other in kept:
                if other.address == group.address and not (other.in_warps & group.in_warps).any():
                    other.mask = other.mask | group.mask
                    break
            else:
                kept.append(group)
        self.groups = kept

    def _leave(self, group, mask):
        """Takes lanes out of a running group."""
        group.mask = group.mask & ~mask
        if not group.mask.any():
            self.groups.remove(group)

    def of_warps(self, mask):
        """All lanes of the warps that the mask has lanes of."""
        return np.repeat(mask.reshape(-1, WARP).any(axis=1), WARP)

    def jump(self, group, mask, address):
        if mask is group.mask or (group.mask == mask).all():
            group.address = address
        else:
            self._leave(group, mask)
            self.groups.append(Group(address, mask))

    def exit(self, group, mask):
        self.exited |= mask
        self._leave(group, mask)
        self._release()

    def park(self, group, mask, needed):
        """Until all lanes that `needed` has of their warps, and that have not ended, wait at the same address."""
        self._leave(group, mask)
        for warp in np.unique(self.warps[mask]):
            own = self.warps == warp
            self.waiting.append((Group(group.address, mask & own), needed, own))
        self._release()

    def _release(self):
        """Lets go on who waits for nobody any more."""
        released = False
        by_place = {}
        for group, needed, own in self.waiting:
            key = (group.address, int(self.warps[group.mask.argmax()]))
            lanes, _ = by_place.get(key, (np.zeros(self.threads, bool), None))
            by_place[key] = (lanes | group.mask, needed & own)
        for (address, warp), (lanes, needed) in by_place.items():
            if not (needed & ~lanes & ~self.exited).any():
                self.waiting = [one for one in self.waiting
                                if (one[0].address, int(self.warps[one[0].mask.argmax()])) != (address, warp)]
                self.groups.append(Group(address, lanes))
                released = True
        if not self.groups and not self.waiting and self.at_barrier:
            arrived = np.zeros(self.threads, bool)
            for group in self.at_barrier:
                arrived |= group.mask
            if (arrived | self.exited).all():
                self.groups = self.at_barrier
                self.at_barrier = []
                self._merge()
                released = True
        if not released and not self.groups and (self.waiting or self.at_barrier):
            raise Stuck("lanes wait for others that never come")
        return released


def _branch(machine, group, instruction, mask):
    kind = instruction.modifiers[0] if instruction.modifiers else ""
    *conditions, target = instruction.operands
    if kind in ("DIV", "CONV"):
        # Asks whether all lanes of the warp that have not ended are here.
        own = machine.of_warps(mask)
        together = not (own & ~group.mask & ~machine.exited).any()
        if together == (kind == "DIV"):
            return
    for condition in conditions:
        if condition.kind in ("predicate", "upredicate"):
            bank = machine.uniform_predicates if condition.kind == "upredicate" else machine.predicates
            mask = mask & (bank[condition.index] ^ condition.negated)
    if mask.any():
        machine.jump(group, mask, target.value)


def _indirect(machine, group, instruction, mask):
    register, offset = instruction.operands
    base = offset.value + (instruction.address + 16 if instruction.opcode == "BRX" else 0)
    values = machine.registers[register.index].astype(np.int64) + base
    for target in np.unique(values[mask]):
        machine.jump(group, mask & (values == target), int(target))


def _call(machine, group, instruction, mask):
    machine.jump(group, mask, instruction.operands[-1].value)


def _set_convergence(machine, group, instruction, mask):
    own = machine.of_warps(mask)
    barrier = machine.convergence[instruction.operands[0].index]
    barrier[own] = mask[own]


def _converge(machine, group, instruction, mask):
    needed = machine.convergence[instruction.operands[0].index]
    if (mask == needed).all() and (mask == group.mask).all():
        return
    machine.park(group, mask, needed)  # the array itself, which BREAK changes


def _break(machine, group, instruction, mask):
    machine.convergence[instruction.operands[0].index] &= ~mask
    machine._release()


def _exit(machine, group, instruction, mask):
    machine.exit(group, mask)


def _warp_sync(machine, group, instruction, mask):
    if "COLLECTIVE" in instruction.modifiers:
        raise Unknown("WARPSYNC.COLLECTIVE: lanes of a warp that are not together exchange values")
    lanes = np.arange(machine.threads, dtype=np.uint32) % 32
    asked = machine.everyone
    if instruction.operands:
        operand = instruction.operands[0]
        value = np.uint32(operand.value & 0xFFFFFFFF) if operand.kind == "number" else machine.registers[operand.index]
        asked = (value >> lanes & 1) != 0
    if (mask == machine.everyone).all():
        return
    machine.park(group, mask, asked)


def _block_barrier(machine, group, instruction, mask):
    machine._leave(group, mask)
    machine.at_barrier.append(Group(group.address, mask))
    machine._release()


CONTROL = {
    "BRA": _branch, "BRX": _indirect, "RET": _indirect, "CALL": _call, "BSSY": _set_convergence, "BSYNC": _converge,
    "BREAK": _break, "EXIT": _exit, "WARPSYNC": _warp_sync, "BAR": _block_barrier
}
