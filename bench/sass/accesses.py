"""Accesses to memory, and exchanges within a warp. What runs an access returns (space, region, addresses of the lanes,
bytes of an access, whether it writes)."""

import numpy as np

from .arithmetic import I32, I64, U32, U64
from .memory import SHARED_WINDOW
from .operands import RZ, URZ, Unknown

WIDTHS = {"U8": 1, "S8": 1, "U16": 2, "S16": 2, "64": 8, "128": 16}


def access(c):
    opcode = c.instruction.opcode
    writes = opcode.startswith("ST")
    place, value = c.operands if writes else reversed(c.operands)
    width = next((WIDTHS[m] for m in c.instruction.modifiers if m in WIDTHS), 4)
    signed = bool(c.modifiers & {"S8", "S16"})
    m = c.machine
    readers = []
    for index, uniform, is_64, factor in place.registers:
        rows, zero = (m.uniforms, URZ) if uniform else (m.registers, RZ)
        low = rows[index]
        if is_64 and index != zero:
            high = rows[index + 1]
            readers.append(lambda low=low, high=high: (low | (high.astype(U64) << U64(32))).view(I64))
        else:
            readers.append(lambda low=low, factor=factor: low.astype(I64) * factor)
    kind = "shared" if opcode in ("LDS", "STS") else "global" if opcode in ("LDG", "STG") else "any"
    rows = [m.registers[value.index if value.index == RZ else value.index + i] for i in range((width + 3) // 4)]
    keeps = value.index != RZ

    def run(mask):
        addresses = np.full(m.threads, place.value, I64)
        for read in readers:
            addresses = addresses + read()
        where = addresses[mask].view(U64)
        memory, space = m.memory, "global"
        if kind == "shared":
            memory, space = m.shared, "shared"
            where = where & U64(0xFFFFFF)
        elif kind == "any" and int(where[0]) >= SHARED_WINDOW:
            memory, space = m.shared, "shared"
            where = where - U64(SHARED_WINDOW)
        region = memory.region(where, width)
        if writes:
            words = np.stack([row[mask] for row in rows], axis=1)
            memory.store(where, np.ascontiguousarray(words).view(np.uint8)[:, :width], region)
        else:
            data = memory.load(where, width, region)
            if width < 4:
                words = data.view(np.uint16 if width == 2 else np.uint8)
                words = (words.view(np.int16 if width == 2 else np.int8) if signed else words).astype(
                    I32 if signed else U32).view(U32)
            else:
                words = data.view(U32)
            if keeps:
                for i, row in enumerate(rows):
                    row[mask] = words[:, i]
        return space, region, where, width, writes

    return run


def exchange(c):
    """SHFL: each lane gets another one's value; the lanes of a warp must be together."""
    to = c.operands[1]
    value, distance, control = c.u32(c.operands[2]), c.u32(c.operands[3]), c.u32(c.operands[4])
    put, put_valid = c.put(to), c.put_predicate(c.operands[0])
    mode = next(m for m in c.modifiers if m in ("BFLY", "IDX", "UP", "DOWN"))
    lanes = np.arange(c.machine.threads)

    def run(mask):
        lane = lanes % 32
        by = distance().astype(I64) & 31
        clamp, segment = control().astype(I64) & 31, control().astype(I64) >> 8 & 31
        first = lane & segment
        last = first | (clamp & ~segment)
        other = {"BFLY": lane ^ by, "IDX": first | (by & ~segment), "UP": lane - by, "DOWN": lane + by}[mode]
        valid = other >= last if mode == "UP" else other <= last
        source = lanes - lane + np.where(valid, other, lane)
        if not mask[source[mask]].all():
            raise Unknown(f"{c.instruction.text} at {c.instruction.address:#x}: a lane that is not there is asked")
        put(value()[source], mask)
        put_valid(valid, mask)

    return run


def reduce(c):
    """REDUX: all lanes of a warp get the largest of their values, of unsigned integers; they must be together."""
    if c.modifiers != {"MAX"}:
        raise Unknown(c.instruction.text)
    put, value = c.put(c.operands[0]), c.u32(c.operands[1])

    def run(mask):
        warps = mask.reshape(-1, 32)
        if (warps.any(axis=1) != warps.all(axis=1)).any():
            raise Unknown(f"{c.instruction.text} at {c.instruction.address:#x}: a lane is not there")
        put(np.repeat(value().reshape(-1, 32).max(axis=1), 32), mask)

    return run
