"""Moves and selections. Each function takes an instruction's operands, and returns what runs it for a mask of lanes."""

import numpy as np

from . import arithmetic as math
from .arithmetic import U32, U64
from .operands import Unknown


def move(c):
    put, value = c.put(c.operands[0]), c.u32(c.operands[1])
    return lambda mask: put(value(), mask)


def clear(c):
    put = c.put64(c.operands[0]) if "32" not in c.modifiers else c.put(c.operands[0])
    zero = np.zeros(c.machine.threads, U64 if "32" not in c.modifiers else U32)
    return lambda mask: put(zero, mask)


def special(c):
    put, value = c.put(c.operands[0]), c.machine.special(c.operands[1].name)
    return lambda mask: put(value, mask)


def load_constant(c):
    width = next((int(m) for m in c.modifiers if m in ("64", "128")), 32)
    if c.modifiers & {"U8", "S8", "U16", "S16"}:
        raise Unknown(f"{c.instruction.text}: a part of a word")
    to, source = c.operands
    rows = c.machine.uniforms if to.kind == "uniform" else c.machine.registers
    reads = [c._constant(source, 4 * i) for i in range(width // 32)]

    def run(mask):
        values = [read() for read in reads]
        for i, value in enumerate(values):
            np.copyto(rows[to.index + i], value, where=mask)

    return run


def select(c):
    put = c.put(c.operands[0])
    as_float = c.instruction.opcode == "FSEL"

    def reader(operand):
        if as_float and operand.kind != "number":
            value = c.f32(operand, "FTZ" in c.modifiers)
            return lambda: value().view(U32)
        return c.u32(operand)

    a, b, choice = reader(c.operands[1]), reader(c.operands[2]), c.predicate(c.operands[3])
    return lambda mask: put(np.where(choice(), a(), b()), mask)


def permute(c):
    put = c.put(c.operands[0])
    a, selectors, rest = (c.u32(o) for o in c.operands[1:4])
    return lambda mask: put(math.permute(a(), selectors(), rest()), mask)


def predicates_to_register(c):
    put, part, mask_of = c.put(c.operands[0]), c.u32(c.operands[2]), c.u32(c.operands[3])

    def run(mask):
        bits = np.zeros(c.machine.threads, U32)
        for i in range(7):
            bits |= c.machine.predicates[i].astype(U32) << U32(i)
        put((bits & mask_of()) | (part() & ~mask_of()), mask)

    return run


def register_to_predicates(c):
    source = c.operands[1]
    row = c.u32(source)
    shift = U32(8 * int(source.part[1])) if source.part.startswith("B") else U32(0)
    chosen = c.operands[2].value

    def run(mask):
        bits = row() >> shift
        for i in range(7):
            if chosen >> i & 1:
                np.copyto(c.machine.predicates[i], (bits >> U32(i) & U32(1)) != 0, where=mask)

    return run
