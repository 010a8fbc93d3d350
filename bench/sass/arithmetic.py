"""What one instruction computes, for all lanes at a time: arrays of uint32, float32 or float64."""

import ctypes
import ctypes.util

import numpy as np

U32, I32, U64, I64, F32, F64 = np.uint32, np.int32, np.uint64, np.int64, np.float32, np.float64
NAN32 = np.array([0x7FFFFFFF], U32).view(F32)[0]


def round_to_odd(value, error):
    """`value` + `error`, of which the first is the nearest float64, with the last bit set if it is not exact: another
    rounding, to float32, then gives what one rounding would."""
    bits = value.view(I64)
    even = (bits & 1) == 0
    inexact = (error != 0) & even & np.isfinite(value)
    away = (error > 0) == (value > 0)
    return np.where(inexact, np.where(away, bits + 1, bits - 1), bits).view(F64)


def directed(value, mode):
    """A float64 as a float32, rounded to nearest, or as the mode says: RZ, RM (down), RP (up)."""
    nearest = value.astype(F32)
    if mode == "RN":
        return nearest
    above = nearest.astype(F64) > value
    below = nearest.astype(F64) < value
    down, up = np.nextafter(nearest, F32(-np.inf)), np.nextafter(nearest, F32(np.inf))
    if mode == "RM":
        return np.where(above, down, nearest)
    if mode == "RP":
        return np.where(below, up, nearest)
    return np.where(above & (value > 0), down, np.where(below & (value < 0), up, nearest))


def exact_sum(a, b):
    """The nearest float64 and what it lacks of a + b (Knuth's TwoSum)."""
    total = a + b
    part = total - a
    error = (a - (total - part)) + (b - part)
    return total, np.where(np.isfinite(error), error, 0.0)


def fma32(a, b, c, mode="RN"):
    product = a.astype(F64) * b.astype(F64)  # exact
    total, error = exact_sum(product, c.astype(F64))
    return directed(round_to_odd(total, error), mode)


_libm = ctypes.CDLL(ctypes.util.find_library("m"))
_libm.fma.restype = ctypes.c_double
_libm.fma.argtypes = [ctypes.c_double] * 3
_fma64 = np.frompyfunc(_libm.fma, 3, 1)


def fma64(a, b, c, mode="RN"):
    nearest = _fma64(a, b, c).astype(F64)
    if mode == "RN":
        return nearest
    # What the rounding took away has the sign of the exact a * b + c - nearest, which one more fma rounds, but keeps.
    left = _fma64(a, b, np.subtract(c, nearest)).astype(F64)
    if mode == "RM":
        return np.where(left < 0, np.nextafter(nearest, -np.inf), nearest)
    return np.where(left > 0, np.nextafter(nearest, np.inf), nearest)


def canonical(value):
    """float32 arithmetic has one NaN."""
    return np.where(np.isnan(value), NAN32, value)


def flush(value):
    """Denormals as zero, of the same sign."""
    return np.where(np.abs(value) < np.finfo(F32).tiny, np.copysign(F32(0), value), value)


def lookup(table, a, b, c):
    """LOP3: bit 4a + 2b + c of the table."""
    result = np.zeros_like(a)
    for i in range(8):
        if table >> i & 1:
            result |= (a if i & 4 else ~a) & (b if i & 2 else ~b) & (c if i & 1 else ~c)
    return result


def permute(a, selectors, c):
    """PRMT: bytes of {c, a}, each chosen by four bits, of which the highest asks for the byte's sign."""
    both = (c.astype(U64) << U64(32)) | a
    result = np.zeros_like(a)
    for i in range(4):
        choice = selectors >> U32(4 * i)
        byte = (both >> ((choice & U32(7)).astype(U64) * U64(8))).astype(U32) & U32(0xFF)
        byte = np.where(choice & U32(8), np.where(byte & U32(0x80), U32(0xFF), U32(0)), byte)
        result |= byte << U32(8 * i)
    return result


def shift_left(value, by):
    return np.where(by >= 64, U64(0), value << np.minimum(by, U64(63)))


def shift_right(value, by):
    return np.where(by >= 64, U64(0), value >> np.minimum(by, U64(63)))


def needs_slow_division(a, b):
    """FCHK: whether a / b could leave the range where a reciprocal and its refinement are exact. (Close to what the
    hardware asks; only the count of instructions depends on it.)"""
    ea = (a.view(U32) >> U32(23) & U32(0xFF)).astype(I32)
    eb = (b.view(U32) >> U32(23) & U32(0xFF)).astype(I32)
    return (eb == 0) | (eb >= 253) | (ea == 255) | (ea < 25) | (ea - eb > 125) | (ea - eb < -125)


def to_integer(value, low, high, kind):
    """Toward zero, kept within the range; NaN gives 0."""
    whole = np.trunc(np.nan_to_num(value.astype(F64), nan=0.0, posinf=1e30, neginf=-1e30))
    inside = (whole > float(low)) & (whole < float(high))
    result = np.where(inside, whole, 0.0).astype(kind)
    return np.where(whole >= float(high), kind(high), np.where(whole <= float(low), kind(low), result))


def to_bfloat16(value):
    bits = value.view(U32)
    rounded = (bits + U32(0x7FFF) + (bits >> U32(16) & U32(1))) >> U32(16)
    return np.where(np.isnan(value), U32(0x7FFF), rounded)


def to_float16(value):
    return np.where(np.isnan(value), U32(0x7FFF), value.astype(np.float16).view(np.uint16).astype(U32))


def of_float16(bits):
    return (bits & U32(0xFFFF)).astype(np.uint16).view(np.float16).astype(F32)
