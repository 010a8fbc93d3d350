"""Arithmetic of floats, and conversions."""

import numpy as np

from . import arithmetic as math
from .arithmetic import F32, F64, I32, I64, U32, U64
from .comparisons import combine, compared, comparison_of
from .operands import RZ, Unknown, plain


def float_sum(c):
    ftz = "FTZ" in c.modifiers
    put, a, b = c.put_f32(c.operands[0], ftz), c.f32(c.operands[1], ftz), c.f32(c.operands[2], ftz)
    mode = c.rounding
    if mode == "RN":
        return lambda mask: put(a() + b(), mask)
    return lambda mask: put(math.fma32(a(), np.ones_like(a()), b(), mode), mask)


def float_product(c):
    ftz = "FTZ" in c.modifiers
    put, a, b = c.put_f32(c.operands[0], ftz), c.f32(c.operands[1], ftz), c.f32(c.operands[2], ftz)
    mode = c.rounding
    if mode == "RN":
        return lambda mask: put(a() * b(), mask)
    return lambda mask: put(math.directed(a().astype(F64) * b(), mode), mask)


def float_fma(c):
    ftz = "FTZ" in c.modifiers
    put, (a, b, addend) = c.put_f32(c.operands[0], ftz), (c.f32(o, ftz) for o in c.operands[1:4])
    mode = c.rounding
    return lambda mask: put(math.fma32(a(), b(), addend(), mode), mask)


def float_compare(c):
    double = c.instruction.opcode == "DSETP"
    first, second = (c.put_predicate(o) for o in c.operands[:2])
    read = c.f64 if double else (lambda o: c.f32(o, "FTZ" in c.modifiers))
    a, b, condition = read(c.operands[2]), read(c.operands[3]), c.predicate(c.operands[4])
    kind = None if c.modifiers & {"MAX", "MIN"} else comparison_of(c)

    def tested():
        x, y = a(), b()
        unordered = np.isnan(x) | np.isnan(y)
        if kind is None:  # which of the two it is
            return (x > y) if "MAX" in c.modifiers else (x < y)
        if kind == "NUM":
            return ~unordered
        if kind == "NAN":
            return unordered
        if kind.endswith("U"):
            return compared(x, y, kind[:-1]) | unordered
        return compared(x, y, kind) & ~unordered

    def run(mask):
        value = tested()
        other = combine(c, ~value, condition())
        first(combine(c, value, condition()), mask)
        second(other, mask)

    return run


def float_least(c):
    ftz = "FTZ" in c.modifiers
    put, a, b = c.put_f32(c.operands[0], ftz), c.f32(c.operands[1], ftz), c.f32(c.operands[2], ftz)
    choice = c.predicate(c.operands[3])
    least, greatest = (np.minimum, np.maximum) if "NAN" in c.modifiers else (np.fmin, np.fmax)
    return lambda mask: put(np.where(choice(), least(a(), b()), greatest(a(), b())), mask)


def division_check(c):
    put, a, b = c.put_predicate(c.operands[0]), c.f32(c.operands[1]), c.f32(c.operands[2])
    return lambda mask: put(math.needs_slow_division(a(), b()), mask)


def approximate(c):
    function = next(m for m in c.modifiers if m not in ("FTZ",))
    if function in ("RCP64H", "RSQ64H"):  # of the upper words
        put, a = c.put(c.operands[0]), c.u32(plain(c.operands[1]))
        negated = c.operands[1].negated

        def run64(mask):
            x = (a().astype(U64) << U64(32)).view(F64)
            x = -x if negated else x
            y = 1.0 / x if function == "RCP64H" else 1.0 / np.sqrt(x)
            put((y.view(U64) >> U64(32)).astype(U32), mask)

        return run64
    functions = {"RCP": lambda x: 1.0 / x, "RSQ": lambda x: 1.0 / np.sqrt(x), "SQRT": np.sqrt, "EX2": np.exp2,
                 "LG2": np.log2}
    if function not in functions:
        raise Unknown(c.instruction.text)
    put, a, compute = c.put_f32(c.operands[0]), c.f32(c.operands[1]), functions[function]
    return lambda mask: put(compute(math.flush(a()).astype(F64)).astype(F32), mask)


def double_sum(c):
    put, a, b = c.put_f64(c.operands[0]), c.f64(c.operands[1]), c.f64(c.operands[2])
    return lambda mask: put(a() + b(), mask)


def double_product(c):
    put, a, b = c.put_f64(c.operands[0]), c.f64(c.operands[1]), c.f64(c.operands[2])
    return lambda mask: put(a() * b(), mask)


def double_fma(c):
    put, (a, b, addend) = c.put_f64(c.operands[0]), (c.f64(o) for o in c.operands[1:4])
    mode = c.rounding
    return lambda mask: put(math.fma64(a(), b(), addend(), mode), mask)


def convert_float(c):
    to, source = c.operands[:2]
    form = [m for m in c.instruction.modifiers if m in ("F64", "F32", "F16", "BF16")]
    if form == ["F64", "F32"]:
        put, value = c.put_f64(to), c.f32(source)
        return lambda mask: put(value().astype(F64), mask)
    if form == ["F32", "F64"]:
        put, value, mode = c.put_f32(to), c.f64(source), c.rounding
        return lambda mask: put(math.directed(value(), mode), mask)
    if form in (["F16", "F32"], ["BF16", "F32"]):
        put, value = c.put(to), c.f32(source)
        convert = math.to_float16 if form[0] == "F16" else math.to_bfloat16
        return lambda mask: put(convert(value()), mask)
    raise Unknown(c.instruction.text)


def pack_halves(c):
    """F2FP: two floats become the upper and the lower half of a word."""
    put, upper, lower = c.put(c.operands[0]), c.f32(c.operands[1]), c.f32(c.operands[2])
    convert = math.to_bfloat16 if "BF16" in c.modifiers else math.to_float16
    if c.modifiers & {"RELU", "MERGE_C", "UNPACK_B", "E4M3", "E5M2"}:
        raise Unknown(c.instruction.text)
    return lambda mask: put((convert(upper()) << U32(16)) | convert(lower()), mask)


def half_to_float(c):
    """HADD2.F32 R, -RZ, R.H0_H0: a float16 as a float."""
    zero, source = c.operands[1:3]
    if "F32" not in c.modifiers or zero.index != RZ or source.kind != "register":
        raise Unknown(c.instruction.text)
    put, bits = c.put_f32(c.operands[0]), c.u32(source)

    def run(mask):
        value = math.of_float16(bits())
        put(-value if source.negated else value, mask)

    return run


def half_constant(c):
    """HFMA2.MMA R, -RZ, RZ, a, b: a way to load two halves."""
    if any(o.kind == "register" and o.index != RZ for o in c.operands[1:3]):
        raise Unknown(c.instruction.text)
    halves = [int(np.array([float(o.value)], np.float16).view(np.uint16)[0]) for o in c.operands[3:5]]
    put, value = c.put(c.operands[0]), np.full(c.machine.threads, halves[0] << 16 | halves[1], U32)
    return lambda mask: put(value, mask)


def to_integer(c):
    double, wide, unsigned = "F64" in c.modifiers, bool(c.modifiers & {"S64", "U64"}), bool(c.modifiers & {"U32", "U64"})
    bits = 64 if wide else 32
    low, high = (0, 2**bits - 1) if unsigned else (-2**(bits - 1), 2**(bits - 1) - 1)
    kind = {(32, False): I32, (32, True): U32, (64, False): I64, (64, True): U64}[bits, unsigned]
    put = c.put64(c.operands[0]) if wide else c.put(c.operands[0])
    value = c.f64(c.operands[1]) if double else c.f32(c.operands[1])
    whole = np.floor if "FLOOR" in c.modifiers else np.ceil if "CEIL" in c.modifiers else (
        np.trunc if "TRUNC" in c.modifiers else np.rint)
    return lambda mask: put(math.to_integer(whole(value()), low, high, kind).view(U64 if wide else U32), mask)


def of_integer(c):
    wide, unsigned = bool(c.modifiers & {"S64", "U64"}), bool(c.modifiers & {"U32", "U64"})
    if c.modifiers & {"S16", "U16", "S8", "U8"} and c.operands[1].part:
        raise Unknown(c.instruction.text)
    narrow = next((m for m in c.modifiers if m in ("S16", "U16", "S8", "U8")), None)
    double, mode = "F64" in c.modifiers, c.rounding
    value = c.u64(c.operands[1]) if wide else c.u32(c.operands[1])
    put = c.put_f64(c.operands[0]) if double else c.put_f32(c.operands[0])

    def run(mask):
        bits = value()
        if narrow is not None:
            kept = U32(0xFF if narrow.endswith("8") else 0xFFFF)
            number = (bits & kept).astype(I64)
            if narrow[0] == "S":
                number = np.where(number > int(kept) // 2, number - int(kept) - 1, number)
        else:
            number = bits if unsigned else np.ascontiguousarray(bits).view(I64 if wide else I32)
        exact = number.astype(F64)
        put(exact if double else math.directed(exact, mode), mask)

    return run


def round(c):
    double = "F64" in c.modifiers
    put = c.put_f64(c.operands[0]) if double else c.put_f32(c.operands[0])
    value = c.f64(c.operands[1]) if double else c.f32(c.operands[1])
    whole = np.floor if "FLOOR" in c.modifiers else np.ceil if "CEIL" in c.modifiers else (
        np.trunc if "TRUNC" in c.modifiers else np.rint)
    return lambda mask: put(whole(value()), mask)
