"""What is known of the GPUs that the model speaks of. bench/sass/README.md says where the numbers are from."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Architecture:
    """Of a compute capability. Rates are lanes that a multiprocessor starts in a cycle; latencies are cycles."""

    first_parameter: int  # in constant bank 0
    rates: dict
    latencies: dict


# One instruction of a warp in each cycle for each of four schedulers. "fma" has float32 and integer products, of which
# "imad" are the integer ones; "alu" has integer and logical operations, comparisons and selections; "xu" has the
# approximations, most conversions, and reductions of a warp; "lsu" has shared memory, shuffles and global memory.
WARP = 32
ISSUE = 4 * WARP

ARCHITECTURES = {
    "sm_80": Architecture(0x160, {"fma": 64, "imad": 64, "alu": 64, "xu": 16, "fp64": 32, "half": 64, "lsu": 32},
                          {"dram": 550, "l2": 210, "l1": 39, "shared": 30}),
    "sm_90": Architecture(0x210, {"fma": 128, "imad": 64, "alu": 64, "xu": 16, "fp64": 64, "half": 64, "lsu": 32},
                          {"dram": 700, "l2": 291, "l1": 40, "shared": 30}),
}

# Measured latencies are those of an idle memory. One that is nearly saturated answers later.
LOADED = 1.5

# Latencies, in cycles, of other instructions whose results the code waits for by a scoreboard.
OTHER_LATENCY = 25


@dataclass(frozen=True)
class Gpu:
    name: str
    arch: str
    processors: int
    clock: float  # Hz
    bandwidth: float  # bytes per second

    @property
    def bytes_per_cycle(self):
        """Of one multiprocessor."""
        return self.bandwidth / self.processors / self.clock


GPUS = [
    Gpu("A100 80GB", "sm_80", 108, 1.41e9, 2.039e12),
    Gpu("H100 SXM", "sm_90", 132, 1.98e9, 3.35e12),
    Gpu("H200", "sm_90", 132, 1.98e9, 4.8e12),
]

PIPES = {
    "fma": {"FADD", "FMUL", "FFMA"},
    "imad": {"IMAD"},
    "alu": {
        "FSETP", "FSEL", "FMNMX", "FCHK", "IADD3", "ISETP", "LEA", "LOP3", "PLOP3", "SHF", "PRMT", "SEL", "IMNMX", "VIMNMX",
        "IABS", "MOV", "P2R", "R2P", "CS2R"
    },
    "xu": {"MUFU", "F2F", "F2I", "I2F", "FRND", "POPC", "FLO", "REDUX"},
    "half": {"HADD2", "HFMA2", "HMUL2", "F2FP", "I2FP"},
    "fp64": {"DADD", "DMUL", "DFMA", "DSETP"},
    "lsu": {"LDG", "STG", "LD", "ST", "LDS", "STS", "SHFL"},
}
PIPE_OF = {opcode: pipe for pipe, opcodes in PIPES.items() for opcode in opcodes}
