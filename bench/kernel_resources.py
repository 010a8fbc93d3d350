#!/usr/bin/env python3
"""Lists what each CUDA kernel of a built library takes, for each architecture, and fails on any use of local memory.

Read from the library itself, with cuobjdump of the CUDA toolkit; no GPU is needed. A kernel fails that has a stack, local
memory, or an instruction that loads from or stores to it (LDL, STL): a spill, or an array that is not in registers.

  loads, stores  the instructions of the kernel that read and write local memory
  shared         static shared memory of a block, in bytes; from sm_90 on with the 1024 that the driver keeps
  blocks         blocks that a multiprocessor holds at once, by registers and shared memory; of 128 threads in passes over
                 elements, of 256 in others
  occupancy      their warps, as a part of the most that it can hold
"""

import argparse
import math
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
LIBRARY = os.path.join(ROOT, "artifacts", "cmake", "cuda", "native", "libnativeopt.so")

THREADS_PER_WARP = 32
WARPS_PER_BLOCK = 256 // THREADS_PER_WARP  # kThreadsPerBlock of native/src/cuda/tuning.h
WARPS_PER_PASS = 128 // THREADS_PER_WARP  # kPassThreads, of the passes over elements
PASSES = re.compile(r"(\w*update|dimer)<|randomize$")
REGISTERS = 65536  # of a multiprocessor, in four parts; a warp's are all in one of them
REGISTERS_AT_A_TIME = 256

# Warps and KiB of shared memory of a multiprocessor, as the CUDA C++ Programming Guide gives them for each compute
# capability. With 4 warps or more in each block, the limit of blocks is never met.
LIMITS = {
    "75": (32, 64),
    "80": (64, 164),
    "86": (48, 100),
    "87": (48, 164),
    "89": (48, 100),
    "90": (64, 228),
    "100": (64, 228),
    "103": (64, 228),
    "110": (48, 228),
    "120": (48, 100),
    "121": (48, 100),
}


@dataclass
class Kernel:
    arch: str
    symbol: str
    name: str
    registers: int
    stack: int
    local: int
    shared: int
    instructions: int = 0
    loads: int = 0
    stores: int = 0

    def faults(self):
        counted = [
            (self.stack, "byte(s) of stack"),
            (self.local, "byte(s) of local memory"),
            (self.loads, "local load(s)"),
            (self.stores, "local store(s)"),
        ]
        return [f"{count} {what}" for count, what in counted if count > 0]

    def limits(self):
        """Warps and KiB of shared memory of a multiprocessor; None for an architecture that is not in the table."""
        return LIMITS.get(self.arch.removeprefix("sm_").rstrip("af"))

    def warps_of_block(self):
        return WARPS_PER_PASS if PASSES.match(self.name) else WARPS_PER_BLOCK

    def blocks(self, warps_of_block=None):
        warps_of_block = warps_of_block or self.warps_of_block()
        max_warps, shared_kib = self.limits()
        per_warp = math.ceil(self.registers * THREADS_PER_WARP / REGISTERS_AT_A_TIME) * REGISTERS_AT_A_TIME
        warps = min(max_warps, REGISTERS // 4 // per_warp * 4)
        # From 8.0 on the driver keeps 1 KiB of shared memory for each block.
        return min(warps // warps_of_block, shared_kib * 1024 // (self.shared + 1024))

    def occupancy(self):
        return self.blocks() * self.warps_of_block() / self.limits()[0]


class Unreadable(Exception):
    """The tools or what they print are not as expected; the text says what to do."""


def short_name(demangled):
    """update<Adam, 1, DimerSource> of void nopt::update_kernel<nopt::Adam, 1, nopt::DimerSource>(...)."""
    name = re.sub(r"\(anonymous namespace\)::|\bnopt::", "", demangled)
    depth = 0
    end = len(name)
    for i, character in enumerate(name):
        if character == "(" and depth == 0:
            end = i
            break
        depth += (character == "<") - (character == ">")
    name = name[:end]
    # A function template's name has its return type in front.
    head, angle, arguments = name.partition("<")
    head = head.split(" ")[-1]
    return head.removesuffix("_kernel") + angle + arguments


def parse_usage(text):
    """The kernels of what `cuobjdump --dump-resource-usage` prints."""
    kernels = []
    arch = symbol = None
    for line in text.splitlines():
        if match := re.match(r"arch = (sm_\w+)", line):
            arch = match[1]
        elif match := re.match(r"\s*Function (\S+):$", line):
            symbol = match[1]
        elif symbol is not None and "REG:" in line:
            used = {key: int(value) for key, value in re.findall(r"(\w+):(\d+)", line)}
            try:
                kernels.append(Kernel(arch, symbol, short_name(symbol), used["REG"], used["STACK"], used["LOCAL"],
                                      used["SHARED"]))
            except KeyError as key:
                raise Unreadable(f"cuobjdump gives no {key} for {symbol}: '{line.strip()}'") from None
            symbol = None
    return kernels


def count_instructions(lines, kernels):
    """Counts into the kernels the instructions of what `cuobjdump --dump-sass` prints."""
    by_symbol = {(kernel.arch, kernel.symbol): kernel for kernel in kernels}
    instruction = re.compile(r"\s*/\*[0-9a-f]{4,}\*/\s+(?:@!?\w+ +)?([A-Z]\w*)")
    arch = kernel = None
    for line in lines:
        if match := instruction.match(line):
            if kernel is not None:
                kernel.instructions += 1
                kernel.loads += match[1] == "LDL"
                kernel.stores += match[1] == "STL"
        elif match := re.match(r"arch = (sm_\w+)", line):
            arch = match[1]
        elif match := re.match(r"\s*Function : (\S+)", line):
            kernel = by_symbol.get((arch, match[1]))


def tool(name, package):
    path = shutil.which(name)
    if path is None:
        raise Unreadable(f"{name} was not found on the PATH; it comes with {package}")
    return path


def read(library, archs):
    if not os.path.exists(library):
        raise Unreadable(f"{library}: no such file; build it (cmake --preset cuda && cmake --build --preset cuda), "
                         "or name the library")
    cuobjdump = tool("cuobjdump", "the CUDA toolkit")
    listed = subprocess.run([cuobjdump, "--dump-resource-usage", library], capture_output=True, text=True, check=False)
    if listed.returncode != 0:
        raise Unreadable(f"{cuobjdump} cannot read {library}: {listed.stderr.strip()}")
    kernels = parse_usage(listed.stdout)
    if not kernels:
        raise Unreadable(f"{library} has no CUDA kernel; was it built with NATIVEOPT_CUDA=ON?")
    compiled = list(dict.fromkeys(kernel.arch for kernel in kernels))
    for arch in archs or compiled:
        if arch not in compiled:
            raise Unreadable(f"--arch: {library} has no code for {arch}; it has {', '.join(compiled)}")
    kernels = [kernel for kernel in kernels if kernel.arch in (archs or compiled)]

    symbols = "\n".join(kernel.symbol for kernel in kernels)
    demangled = subprocess.run([tool("c++filt", "binutils")], input=symbols, capture_output=True, text=True, check=True)
    for kernel, name in zip(kernels, demangled.stdout.splitlines(), strict=True):
        kernel.name = short_name(name)

    for arch in dict.fromkeys(kernel.arch for kernel in kernels):
        # Tens of megabytes: read line by line.
        with subprocess.Popen([cuobjdump, "--dump-sass", "--gpu-architecture", arch, library],
                              stdout=subprocess.PIPE, text=True) as sass:
            count_instructions(sass.stdout, kernels)
        if sass.returncode != 0:
            raise Unreadable(f"{cuobjdump} --dump-sass failed for {arch} (exit code {sass.returncode})")
    for kernel in kernels:
        if kernel.instructions == 0:
            raise Unreadable(f"cuobjdump lists no instruction of {kernel.name} for {kernel.arch}")
    return kernels


HEADER = ["kernel", "registers", "stack", "local", "loads", "stores", "shared", "blocks", "occupancy"]


def row(kernel):
    numbers = [kernel.registers, kernel.stack, kernel.local, kernel.loads, kernel.stores, kernel.shared]
    resident = ["?", "?"] if kernel.limits() is None else [str(kernel.blocks()), f"{kernel.occupancy():.0%}"]
    return [kernel.name, *map(str, numbers), *resident]


def table(rows, markdown):
    if markdown:
        lines = ["| " + " | ".join(cells) + " |" for cells in rows]
        return [lines[0], "| --- |" + " ---: |" * (len(rows[0]) - 1), *lines[1:]]
    widths = [max(len(cells[column]) for cells in rows) for column in range(len(rows[0]))]
    return ["  ".join([cells[0].ljust(widths[0]), *map(str.rjust, cells[1:], widths[1:])]) for cells in rows]


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter,
                                     epilog="exit codes: 0 no local memory, 1 some, 2 the library cannot be read")
    parser.add_argument("library", nargs="?", default=LIBRARY,
                        help="the built library; default: artifacts/cmake/cuda/native/libnativeopt.so")
    parser.add_argument("--arch", type=lambda text: text.split(","), metavar="sm_80,sm_90",
                        help="these architectures alone; an error if one was not compiled; default: all")
    parser.add_argument("--markdown", action="store_true", help="tables in Markdown")
    options = parser.parse_args(arguments)
    try:
        kernels = read(options.library, options.arch)
    except Unreadable as reason:
        print(f"kernel_resources.py: {reason}", file=sys.stderr)
        return 2

    archs = list(dict.fromkeys(kernel.arch for kernel in kernels))
    for arch in archs:
        of_arch = sorted((kernel for kernel in kernels if kernel.arch == arch), key=lambda kernel: kernel.name)
        print(f"### {arch}\n" if options.markdown else arch)
        print("\n".join(table([HEADER, *map(row, of_arch)], options.markdown)), end="\n\n")
    failed = [kernel for kernel in kernels if kernel.faults()]
    sys.stdout.flush()
    for kernel in failed:
        print(f"FAIL {kernel.name} on {kernel.arch}: {', '.join(kernel.faults())}", file=sys.stderr)
    print(f"{len(kernels)} kernels for {', '.join(archs)}: {len(failed)} with local memory")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
