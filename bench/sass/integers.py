"""Arithmetic and logic of integers, and predicates."""

import numpy as np

from . import arithmetic as math
from .arithmetic import F64, I32, I64, U32, U64
from .comparisons import combine, compared, comparison_of
from .operands import Unknown, plain


def add(c):
    carries, to, rest = c.split()
    put, values = c.put(to), [c.u32(o) for o in rest[:3]]
    # The negative of x is ~x + 1, of which the carry counts.
    readers = []
    extra = 0
    for operand, value in zip(rest, values):
        if operand.negated and operand.kind in ("register", "uniform", "constant") and carries:
            readers.append(lambda own=c.u32(plain(operand)): ~own())
            extra += 1
        else:
            readers.append(value)
    puts = [c.put_predicate(p) for p in carries]
    ins = [c.predicate(p) for p in rest[3:]]

    def run(mask):
        total = np.full(c.machine.threads, extra, U64)
        for read in readers:
            total = total + read()
        for read in ins:
            total = total + read()
        put(total.astype(U32), mask)
        for i, put_carry in enumerate(puts):
            put_carry((total >> U64(32)) > i, mask)

    return run


def multiply_add(c):
    carries, to, rest = c.split()
    signed = "U32" not in c.modifiers
    a, b = c.u32(rest[0]), c.u32(rest[1])

    def product():
        if signed:
            return (a().view(I32).astype(I64) * b().view(I32)).view(U64)
        return a().astype(U64) * b()

    if "WIDE" in c.modifiers or "HI" in c.modifiers:
        addend, high = c.u64(rest[2]), "HI" in c.modifiers
        put = c.put(to) if high else c.put64(to)
        carry = c.put_predicate(carries[0]) if carries else None

        def wide(mask):
            part = product()
            total = part + addend()
            overflow = total < part
            put((total >> U64(32)).astype(U32) if high else total, mask)
            if carry is not None:
                carry(overflow, mask)

        return wide
    put, addend = c.put(to), c.u32(rest[2])
    carry_in = c.predicate(rest[3]) if len(rest) > 3 else None

    def run(mask):
        total = a() * b() + addend()
        put(total if carry_in is None else total + carry_in(), mask)

    return run


def lea(c):
    carries, to, rest = c.split()
    put = c.put(to)
    a, b = c.u32(rest[0]), c.u32(plain(rest[1]) if rest[1].negated else rest[1])
    negated = rest[1].negated
    high, sign_extends = "HI" in c.modifiers, "SX32" in c.modifiers
    has_upper = high and not sign_extends
    upper = c.u32(rest[2]) if has_upper else None
    shift = U64(rest[3 if has_upper else 2].value)
    carry_in = c.predicate(rest[-1]) if "X" in c.modifiers else None
    puts = [c.put_predicate(p) for p in carries]

    def run(mask):
        if high:
            top = upper() if has_upper else (a().view(I32) >> 31).view(U32)
            shifted = ((a() | (top.astype(U64) << U64(32))) << shift >> U64(32)) & U64(0xFFFFFFFF)
        else:
            shifted = (a().astype(U64) << shift) & U64(0xFFFFFFFF)
        total = shifted + (U64(1) + ~b() if negated else b())
        if carry_in is not None:
            total = total + carry_in()
        put(total.astype(U32), mask)
        for put_carry in puts:
            put_carry((total >> U64(32)) > 0, mask)

    return run


def logic(c):
    flags, to, rest = c.split() if c.operands[0].kind in ("register", "uniform") else (c.operands[:1], c.operands[1],
                                                                                          c.operands[2:])
    put, (a, b, third) = c.put(to), (c.u32(o) for o in rest[:3])
    table = rest[3].value
    condition = c.predicate(rest[4])
    puts = [c.put_predicate(p) for p in flags]

    def run(mask):
        value = math.lookup(table, a(), b(), third())
        put(value, mask)
        for put_flag in puts:
            put_flag((value != 0) | condition(), mask)

    return run


def predicate_logic(c):
    first, second = (c.put_predicate(o) for o in c.operands[:2])
    a, b, third = (c.predicate(o) for o in c.operands[2:5])
    tables = [o.value for o in c.operands[5:7]]

    def run(mask):
        # Each predicate fills a byte, so that the table's byte is a function of bits.
        bits = [np.where(p(), U32(1), U32(0)) for p in (a, b, third)]
        values = [math.lookup(table, *bits) & U32(1) for table in tables]
        first(values[0] != 0, mask)
        second(values[1] != 0, mask)

    return run


def shift(c):
    put, (low, by, high) = c.put(c.operands[0]), (c.u32(o) for o in c.operands[1:4])
    left, takes_high = "L" in c.modifiers, "HI" in c.modifiers
    bits = 64 if c.modifiers & {"U64", "S64"} else 32
    signed = bool(c.modifiers & {"S32", "S64"})
    wraps = "W" in c.modifiers

    def run(mask):
        amount = by().astype(U64)
        amount = amount & U64(bits - 1) if wraps else np.minimum(amount, U64(bits))
        pair = low() | (high().astype(U64) << U64(32))
        if left:
            value = math.shift_left(pair, amount)
        elif signed:
            value = (pair.view(I64) >> np.minimum(amount, U64(63)).astype(I64)).view(U64)
        else:
            value = math.shift_right(pair, amount)
        put(((value >> U64(32)) if takes_high else value).astype(U32), mask)

    return run


def compare(c):
    first, second = (c.put_predicate(o) for o in c.operands[:2])
    a, b, condition = c.u32(c.operands[2]), c.u32(c.operands[3]), c.predicate(c.operands[4])
    kind, signed = comparison_of(c), "U32" not in c.modifiers
    lower = c.predicate(c.operands[5]) if "EX" in c.modifiers else None

    def run(mask):
        x, y = a(), b()
        if signed:
            x, y = np.ascontiguousarray(x).view(I32), np.ascontiguousarray(y).view(I32)
        if lower is None:
            tested = compared(x, y, kind)
        elif kind == "NE":
            tested = (x != y) | lower()
        else:  # the words below decide where these are equal
            strict = kind[0] + "T" if kind != "EQ" else None
            tested = (x == y) & lower()
            if strict:
                tested = tested | compared(x, y, strict)
        other = combine(c, ~tested, condition())
        value = combine(c, tested, condition())
        first(value, mask)
        second(other, mask)

    return run


def least(c):
    put, choice = c.put(c.operands[0]), c.predicate(c.operands[3])
    a, b, signed = c.u32(c.operands[1]), c.u32(c.operands[2]), "U32" not in c.modifiers

    def run(mask):
        x, y = a(), b()
        less = (x.view(I32) < np.ascontiguousarray(y).view(I32)) if signed else x < y
        put(np.where(less == choice(), x, y), mask)

    return run


def absolute(c):
    put, a = c.put(c.operands[0]), c.u32(c.operands[1])
    return lambda mask: put(np.abs(a().view(I32)).view(U32), mask)


def population(c):
    put, a = c.put(c.operands[0]), c.u32(c.operands[1])
    return lambda mask: put(sum((a() >> U32(i)) & U32(1) for i in range(32)), mask)


def highest_bit(c):
    """FLO: where the highest bit is that is 1, or all ones."""
    if "U32" not in c.modifiers or "SH" in c.modifiers:
        raise Unknown(c.instruction.text)
    put, a = c.put(c.operands[0]), c.u32(c.operands[1])
    return lambda mask: put((np.frexp(a().astype(F64))[1] - 1).astype(I32).view(U32), mask)
