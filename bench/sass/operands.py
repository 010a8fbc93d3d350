"""An instruction's operands as functions that read them, and what writes its results."""

import numpy as np

from . import arithmetic as math
from .arithmetic import F32, F64, I32, I64, U32, U64

RZ, URZ = 255, 63
SIGN32, SIGN64 = U32(0x80000000), U64(1 << 63)


class Unknown(Exception):
    """An instruction, or a form of one, that is not modelled; the text has it."""


class Context:
    """An instruction's operands as functions that read them, and what writes its results."""

    def __init__(self, instruction, machine):
        self.instruction = instruction
        self.machine = machine
        self.modifiers = set(instruction.modifiers)
        self.operands = instruction.operands

    def bits_of_number(self, value):
        if isinstance(value, float):
            return int(np.array([value], F32).view(U32)[0])
        return value & 0xFFFFFFFF

    def _row(self, operand):
        m = self.machine
        return (m.uniforms if operand.kind == "uniform" else m.registers)[operand.index]

    # ---- integers ----

    def u32(self, operand):
        m = self.machine
        if operand.kind in ("register", "uniform"):
            row = self._row(operand)
            if operand.part == "H1_H1":
                return lambda: row >> U32(16)
            if operand.negated:
                return lambda: U32(0) - row
            if operand.inverted:
                return lambda: ~row
            if operand.absolute:
                return lambda: np.abs(row.view(I32)).view(U32)
            return lambda: row
        if operand.kind == "number":
            value = np.broadcast_to(U32(self.bits_of_number(operand.value)), (m.threads,))
            return lambda: value
        if operand.kind == "constant":
            return self._constant(operand)
        if operand.kind == "special" and operand.name == "SRZ":
            value = m.special("SRZ")
            return lambda: value
        raise Unknown(f"{self.instruction.text}: an operand that is not known")

    def _constant(self, operand, high=0):
        m = self.machine
        if not operand.registers:
            value = U32(m.constant(operand.bank, operand.value + high))
            value = U32(0) - value if operand.negated else value
            value = np.broadcast_to(value, (m.threads,))
            return lambda: value
        (index, uniform, _, factor), = operand.registers
        row = (m.uniforms if uniform else m.registers)[index]

        def read():
            places = row.astype(I64) * factor + operand.value + high
            return np.array([m.constant(operand.bank, int(p) & 0xFFFF) for p in places], U32)

        return read

    def u64(self, operand):
        m = self.machine
        if operand.kind in ("register", "uniform"):
            rows, zero = (m.uniforms, URZ) if operand.kind == "uniform" else (m.registers, RZ)
            low, high = rows[operand.index], rows[operand.index if operand.index == zero else operand.index + 1]
            return lambda: low | (high.astype(U64) << U64(32))
        if operand.kind == "constant":
            low, high = self._constant(operand), self._constant(operand, 4)
            return lambda: low() | (high().astype(U64) << U64(32))
        value = self.u32(operand)
        return lambda: value().astype(U64)

    def put(self, operand):
        """Writes a row where the mask says so."""
        row, zero = self._row(operand), URZ if operand.kind == "uniform" else RZ
        if operand.index == zero:
            return lambda value, mask: None
        return lambda value, mask: np.copyto(row, value, where=mask)

    def put64(self, operand):
        rows, zero = (self.machine.uniforms, URZ) if operand.kind == "uniform" else (self.machine.registers, RZ)
        if operand.index == zero:
            return lambda value, mask: None
        low, high = rows[operand.index], rows[operand.index + 1]

        def write(value, mask):
            np.copyto(low, value.astype(U32), where=mask)
            np.copyto(high, (value >> U64(32)).astype(U32), where=mask)

        return write

    # ---- predicates ----

    def predicate(self, operand):
        m = self.machine
        row = (m.uniform_predicates if operand.kind == "upredicate" else m.predicates)[operand.index]
        return (lambda: ~row) if operand.negated else (lambda: row)

    def put_predicate(self, operand):
        m = self.machine
        row = (m.uniform_predicates if operand.kind == "upredicate" else m.predicates)[operand.index]
        if operand.index == 7:
            return lambda value, mask: None
        return lambda value, mask: np.copyto(row, value, where=mask)

    # ---- floats ----

    def f32(self, operand, ftz=False):
        m = self.machine
        if operand.kind == "number":
            bits = self.bits_of_number(operand.value)
            value = np.full(m.threads, bits, U32).view(F32)
            return lambda: value
        read = self.u32(plain(operand))

        def value():
            bits = read()
            if operand.absolute:
                bits = bits & ~SIGN32
            if operand.negated:
                bits = bits ^ SIGN32
            result = np.ascontiguousarray(bits).view(F32)
            return math.flush(result) if ftz else result

        return value

    def f64(self, operand):
        m = self.machine
        if operand.kind == "number":
            if isinstance(operand.value, float):
                value = np.full(m.threads, operand.value, F64)
            else:
                value = np.full(m.threads, operand.value << 32, U64).view(F64)
            return lambda: value
        read = self.u64(plain(operand))

        def value():
            bits = read()
            if operand.absolute:
                bits = bits & ~SIGN64
            if operand.negated:
                bits = bits ^ SIGN64
            return bits.view(F64)

        return value

    def put_f32(self, operand, ftz=False):
        put = self.put(operand)

        def write(value, mask):
            value = math.canonical(math.flush(value) if ftz else value)
            put(value.astype(F32).view(U32), mask)

        return write

    def put_f64(self, operand):
        put = self.put64(operand)
        return lambda value, mask: put(value.view(U64), mask)

    @property
    def rounding(self):
        return next((mode for mode in ("RZ", "RM", "RP") if mode in self.modifiers), "RN")

    def split(self):
        """(results that are predicates, the result, the rest of the operands)."""
        first = 0
        while self.operands[first].kind not in ("register", "uniform"):
            first += 1
        after = first + 1
        results = list(self.operands[:first])
        while after < len(self.operands) and self.operands[after].kind in ("predicate", "upredicate"):
            results.append(self.operands[after])
            after += 1
        return results, self.operands[first], self.operands[after:]


def plain(operand):
    """The operand without its signs."""
    if not (operand.negated or operand.absolute):
        return operand
    return type(operand)(operand.kind, operand.index, operand.value, operand.bank, operand.name, operand.registers,
                         part=operand.part)
