"""The instructions: each is compiled once to a function of the mask of lanes that run it."""

from . import accesses, floats, integers, moves
from .operands import Context, Unknown


def compile_operation(instruction, machine):
    builder = OPERATIONS.get(instruction.opcode)
    if builder is None:
        raise Unknown(f"{instruction.text} at {instruction.address:#x}: add it to bench/sass/operations.py")
    return builder(Context(instruction, machine))


def _nothing(c):
    """Fences and hints, which change nothing where everything runs in order."""
    return lambda mask: None


OPCODES = {
    moves.move: "MOV UMOV",
    moves.clear: "CS2R",
    moves.special: "S2R S2UR",
    moves.load_constant: "LDC ULDC",
    moves.select: "SEL USEL FSEL",
    moves.permute: "PRMT UPRMT",
    moves.predicates_to_register: "P2R",
    moves.register_to_predicates: "R2P",
    integers.add: "IADD3 UIADD3",
    integers.multiply_add: "IMAD UIMAD",
    integers.lea: "LEA ULEA",
    integers.logic: "LOP3 ULOP3",
    integers.predicate_logic: "PLOP3 UPLOP3",
    integers.shift: "SHF USHF",
    integers.compare: "ISETP UISETP",
    integers.least: "IMNMX VIMNMX",
    integers.absolute: "IABS",
    integers.population: "POPC",
    integers.highest_bit: "FLO",
    floats.float_sum: "FADD",
    floats.float_product: "FMUL",
    floats.float_fma: "FFMA",
    floats.float_compare: "FSETP DSETP",
    floats.float_least: "FMNMX",
    floats.division_check: "FCHK",
    floats.approximate: "MUFU",
    floats.double_sum: "DADD",
    floats.double_product: "DMUL",
    floats.double_fma: "DFMA",
    floats.convert_float: "F2F",
    floats.pack_halves: "F2FP",
    floats.half_to_float: "HADD2",
    floats.half_constant: "HFMA2",
    floats.to_integer: "F2I",
    floats.of_integer: "I2F I2FP",
    floats.round: "FRND",
    accesses.access: "LDG STG LD ST LDS STS",
    accesses.exchange: "SHFL",
    accesses.reduce: "REDUX",
    _nothing: "NOP MEMBAR ERRBAR CGAERRBAR CCTL DEPBAR YIELD",
}
OPERATIONS = {opcode: builder for builder, opcodes in OPCODES.items() for opcode in opcodes.split()}
