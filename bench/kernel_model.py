#!/usr/bin/env python3
"""What each CUDA kernel costs, from its machine code, and what part of a GPU's memory bandwidth follows from that.

No GPU is needed: launches of the interpreter of PTX (tests/ptx) are run once more on the SASS of the library, by an
interpreter of SASS (bench/sass), which must leave the same bytes. bench/sass/README.md states the model and its numbers.

  bench/kernel_model.py                   some kernels of each kind, a minute
  bench/kernel_model.py --all             all rules and types, some minutes
  bench/kernel_model.py --check           compares with bench/kernels.json; fails where a kernel takes 5% more
                                          instructions for an element, or has fewer bytes of loads in flight
  bench/kernel_model.py --write           writes that table anew

  regs, warps   registers of a thread; warps that a multiprocessor holds
  instructions  of a warp, for an element of each of its lanes
  bytes         that an element reads and writes
  in flight     bytes of loads of a thread at each wait for the memory, on average
  waits         for the memory, one after another, in what a thread does for 8 elements
  KiB           in flight on a multiprocessor: needed for the bandwidth, and held
  latency       throughput by the waits of the warps that are resident, over 95% of the bandwidth
  issue         throughput by the busiest pipe, over 95% of the bandwidth
  reach         part of the bandwidth that both allow
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass

import kernel_resources

try:
    from sass import gpus
    from sass.cost import Cost, estimate, measure
    from sass.listing import Library, Unreadable, run
    from sass.machine import Stuck
    from sass.memory import Fault
    from sass.operands import Unknown
    from sass.snapshot import Snapshot
except ModuleNotFoundError as missing:
    print(f"kernel_model.py: {missing.name} was not found by {sys.executable} (Debian, Ubuntu: apt-get install "
          "python3-numpy, and call /usr/bin/python3)", file=sys.stderr)
    sys.exit(2)

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
BUILD = os.path.join(ROOT, "artifacts", "cmake", "cuda")
LIBRARY = os.path.join(BUILD, "native", "libnativeopt.so")
TABLE = os.path.join(ROOT, "bench", "kernels.json")

MORE_INSTRUCTIONS = 1.05
FEWER_IN_FLIGHT = 0.99
ENOUGH = 0.95  # of the bandwidth, which margins are of

OF_16_BITS = ["bfloat16", "bfloat16-master", "bfloat16-remainder", "bfloat16-states", "bfloat16-master-states",
              "bfloat16-remainder-states", "float16-states"]
OF_8_BITS = ["dynamic8", "bfloat16-dynamic8", "bfloat16-remainder-dynamic8"]
OF_DIMERS = ["cached", "update"]
MORE = ["sgd-momentum", "adam-amsgrad", "adam-clipped", "adam-bfloat16-states-random", "adam-bfloat16-update"]


def all_kinds(rules):
    return [*rules, *(f"{rule}-{part}" for rule in [*rules, "sgd-momentum"]
                      for part in OF_16_BITS + OF_8_BITS + OF_DIMERS), *MORE]


def some_kinds(rules):
    """Each rule in float32; all types and dimers of one rule; the narrow types of others with few and many states."""
    narrow = [f"{rule}-{part}" for rule in ["dualadam", "lion", "adan", "sgd-momentum"]
              for part in ["bfloat16-states", "dynamic8"]]
    return [*rules, *(f"adam-{part}" for part in OF_16_BITS + OF_8_BITS + OF_DIMERS), *narrow, *MORE]


@dataclass
class Row:
    """A kernel in a step of some kind."""

    kind: str
    kernel: str
    arch: str
    registers: int
    warps: int
    cost: Cost
    wrong: int  # bytes that are not what the interpreter of PTX has left

    @property
    def name(self):
        return f"{self.kind}: {self.kernel}"

    @property
    def in_flight(self):
        """Bytes of a multiprocessor."""
        return self.cost.held * gpus.WARP * self.warps


def measure_kinds(library, program, archs, kinds):
    """The rows of some kinds, in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        elements = int(run(program, folder, *kinds))
        snapshots = [(kind, Snapshot(path)) for kind in kinds for path in snapshots_of(folder, kind)]
        # A block alone is a launch for few numbers.
        snapshots = [(kind, snapshot) for kind, snapshot in snapshots if snapshot.blocks > 1]
        return [row for arch in archs for row in rows_of(library, arch, snapshots, elements)]


def snapshots_of(folder, kind):
    number = 0
    while os.path.exists(path := os.path.join(folder, f"{kind}-{number}.json")):
        yield path.removesuffix(".json")
        number += 1


def rows_of(library, arch, snapshots, elements):
    with tempfile.TemporaryDirectory() as folder:
        code = Library(library, arch, folder)
        resources = {}
        for file in code.files:
            usage = run("cuobjdump", "--dump-resource-usage", file)
            resources.update((kernel.symbol, kernel) for kernel in kernel_resources.parse_usage(f"arch = {arch}\n{usage}"))
        listed = {}  # variables are at the same addresses in all of a program's snapshots
        for kind, snapshot in snapshots:
            symbol = snapshot.kernel
            if symbol not in listed:
                listed[symbol] = code.kernel(symbol, snapshot.variables)
            name = kernel_resources.short_name(run("c++filt", symbol).strip())
            try:
                cost, wrong = measure(listed[symbol], snapshot, elements)
            except (Unknown, Fault, Stuck) as error:
                raise Unreadable(f"{arch}: {kind}: {name}: {error}") from None
            warps_of_block = snapshot.threads // gpus.WARP
            warps = resources[symbol].blocks(warps_of_block) * warps_of_block
            yield Row(kind, name, arch, resources[symbol].registers, warps, cost, wrong)


def measure_all(library, program, archs, kinds, jobs):
    # Kinds of one rule share kernels; no more of them at a time than leave all processors work to the end.
    by_rule = {}
    for kind in kinds:
        by_rule.setdefault(kind.split("-")[0], []).append(kind)
    tasks = [own[i:i + 4] for own in sorted(by_rule.values(), key=len, reverse=True) for i in range(0, len(own), 4)]
    rows = []
    with ProcessPoolExecutor(jobs) as pool:
        running = [pool.submit(measure_kinds, library, program, archs, task) for task in tasks]
        try:
            for done, task in enumerate(running):
                rows += task.result()
                if sys.stderr.isatty():
                    print(f"\r{done + 1} of {len(tasks)}", end="", file=sys.stderr)
        finally:
            pool.shutdown(cancel_futures=True)
    return rows


HEADER = ["kernel", "regs", "warps", "instructions", "bytes", "in flight", "waits", "KiB needed / held", "latency", "issue",
          "reach"]


def cells(row, gpu):
    result, cost = estimate(row.cost, gpu, row.warps), row.cost
    return [row.name, str(row.registers), str(row.warps), f"{cost.instructions:.1f}",
            f"{cost.read:.1f} + {cost.written:.1f}", f"{cost.held:.0f}", f"{cost.rounds:.1f}",
            f"{result.needed / 1024:.1f} / {result.held / 1024:.1f}", f"{result.latency / ENOUGH:.2f}",
            f"{result.issue / ENOUGH:.2f} {result.pipe}", f"{result.reach:.0%}"]


def print_tables(rows, markdown):
    for gpu in gpus.GPUS:
        own = [cells(row, gpu) for row in rows if row.arch == gpu.arch]
        if own:
            title = (f"{gpu.name}: {gpu.processors} multiprocessors, {gpu.clock / 1e9:g} GHz, "
                     f"{gpu.bandwidth / 1e12:g} TB/s, {gpu.arch}")
            print(f"### {title}\n" if markdown else title)
            print("\n".join(kernel_resources.table([HEADER, *own], markdown)), end="\n\n")


def table_of(rows, compiler):
    kernels = {}
    for row in rows:
        kernels.setdefault(row.arch, {})[row.name] = {"instructions": round(row.cost.instructions, 2),
                                                      "bytes_in_flight": round(row.in_flight)}
    return {"compiler": compiler, "kernels": kernels}


def faults(expected, measured):
    """Kernels that take more instructions, or that have fewer bytes in flight, than the table has."""
    found = []
    for arch, kernels in measured.items():
        for name, now in kernels.items():
            known = expected.get(arch, {}).get(name)
            if known is None:
                found.append(f"{arch}: {name} is not in the table; write it anew (--write)")
                continue
            if now["instructions"] > known["instructions"] * MORE_INSTRUCTIONS:
                found.append(f"{arch}: {name} takes {now['instructions']} instructions for an element, and "
                             f"{known['instructions']} in the table")
            if now["bytes_in_flight"] < known["bytes_in_flight"] * FEWER_IN_FLIGHT:
                found.append(f"{arch}: {name} has {now['bytes_in_flight']} bytes of loads in flight on a multiprocessor, "
                             f"and {known['bytes_in_flight']} in the table")
    return found


def compiler_of(program):
    info = run(program, "--build-info")
    match = re.search(r"cuda: (\d+\.\d+)", info)
    if match is None:
        raise Unreadable(f"{program} was built without CUDA: {info.strip()}")
    return f"nvcc {match[1]}"


def program_beside(library):
    """nativeopt_ptx_snapshots of the build that the library is of."""
    build = os.path.dirname(os.path.dirname(os.path.abspath(library)))
    return os.path.join(build, "tests", "ptx", "nativeopt_ptx_snapshots")


def parse(arguments):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter,
                                     epilog="exit codes: 0 as expected, 1 a fault, 2 something cannot be read")
    parser.add_argument("library", nargs="?", default=LIBRARY, help="the built library (default: of the preset cuda)")
    parser.add_argument("--snapshots", metavar="PROGRAM",
                        help="nativeopt_ptx_snapshots, built of the same sources (default: of the library's build)")
    parser.add_argument("--arch", type=lambda text: text.split(","), default=list(gpus.ARCHITECTURES),
                        metavar="sm_80,sm_90")
    choice = parser.add_mutually_exclusive_group()
    choice.add_argument("--all", action="store_true", help="all rules and types")
    choice.add_argument("--kinds", type=lambda text: text.split(","), metavar="adam,adam-bfloat16-states",
                        help="these steps alone, see tests/ptx/snapshots.cpp")
    parser.add_argument("--markdown", action="store_true", help="tables in Markdown")
    parser.add_argument("--check", nargs="?", const=TABLE, metavar="FILE", help="compare with a table")
    parser.add_argument("--write", nargs="?", const=TABLE, metavar="FILE", help="write a table")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="processes (default: %(default)s)")
    options = parser.parse_args(arguments)
    options.snapshots = options.snapshots or program_beside(options.library)
    return options


def main(arguments=None):
    options = parse(arguments)
    try:
        for path, target in [(options.library, "nativeopt"), (options.snapshots, "nativeopt_ptx_snapshots")]:
            if not os.path.exists(path):
                raise Unreadable(f"{path}: no such file; build the target {target} with the preset cuda, or name the file")
        for arch in options.arch:
            if arch not in gpus.ARCHITECTURES:
                raise Unreadable(f"--arch: {arch} is not modelled; {', '.join(gpus.ARCHITECTURES)} are")
        compiler = compiler_of(options.snapshots)
        rules = run(options.snapshots, "--rules").split()
        kinds = options.kinds or (all_kinds(rules) if options.all else some_kinds(rules))
        known = None
        if options.check:
            with open(options.check, encoding="utf-8") as file:
                known = json.load(file)
        rows = measure_all(options.library, options.snapshots, options.arch, kinds, options.jobs)
        if not rows:
            raise Unreadable("no kernel ran; does the rule have states of that type?")
        print_tables(rows, options.markdown)
        table = table_of(rows, compiler)
        found = [f"{row.arch}: {row.name} leaves {row.wrong} bytes that are not those of its PTX"
                 for row in rows if row.wrong]
        if known is not None and known["compiler"] != compiler:
            print(f"SKIPPED: the table is of {known['compiler']}, and this library of {compiler}")
        elif known is not None:
            found += faults(known["kernels"], table["kernels"])
        if options.write and not any(row.wrong for row in rows):
            with open(options.write, "w", encoding="utf-8") as file:
                json.dump(table, file, indent=1)
                file.write("\n")
    except (Unreadable, kernel_resources.Unreadable, OSError, ValueError, KeyError, subprocess.SubprocessError) as error:
        print(f"kernel_model.py: {error}", file=sys.stderr)
        return 2
    sys.stdout.flush()
    for fault in found:
        print(f"FAIL {fault}", file=sys.stderr)
    print(f"{len(rows)} launches on {', '.join(options.arch)}: {len(found)} faults")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
