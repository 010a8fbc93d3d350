#!/usr/bin/env python3
"""Counts the CPU backend's instructions for each element of a step, and fails where there are more than in a table.

Counted by valgrind --tool=callgrind, so that the numbers are the same on every machine, busy or not; they depend on the
compiler, whose name stands in the table. Each number is the difference between two runs of some steps and of twice as
many, on one thread: what a step costs, over its elements. (Large tensors show the kernels, small ones the calls.)

  bench/instructions.py                   compares with bench/instructions.json; exit status 1 if something is 5% above
  bench/instructions.py --write           writes the table anew
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
PROGRAM = os.path.join(ROOT, "artifacts", "cmake", "cuda", "bench", "native", "nativeopt_counted_steps")
TABLE = os.path.join(ROOT, "bench", "instructions.json")
TOLERANCE = 0.05

# Kind and shape, see counted_steps.cpp.
LARGE = "1x16384"
CASES = [
    *((kind, LARGE) for kind in [
        "sgd", "sgd-momentum", "adam", "adam-amsgrad", "invadam", "dualadam", "adam-clipped", "adam-cached",
        "adam-update", "adam-bfloat16", "adam-bfloat16-states", "adam-bfloat16-states-random", "adam-dynamic8"]),
    # A tail of 7, calls for one element, many tensors. A call takes 20 to 30 instructions more than one of a library in
    # which all tensors of a group share one step count (SGD's one element 33 ns in place of 29 on a Zen 4, Adam's 58 in
    # place of 60): each step looks whether all tensors have a gradient, and finds what its cohort's scalars are.
    ("adam", "1x23"),
    ("adam", "1x1"),
    ("adam", "1000x1"),
    ("adam", "1000x100"),
    ("adam-clipped", "1000x100"),
    ("adam-cached", "1000x100"),
    ("adam-bfloat16", "1000x100"),
]
INSTRUCTIONS_OF_A_RUN = 4_000_000  # about: enough for the difference to be exact, little enough to take a second


class Unreadable(Exception):
    """The tools or what they print are not as expected; the text says what to do."""


def elements(shape):
    count, size = map(int, shape.split("x"))
    return count * size


def count(program, isa, kind, shape, steps):
    """The instructions of a whole run."""
    command = [shutil.which("valgrind"), "--tool=callgrind", "--callgrind-out-file=/dev/null", program, kind, shape,
               str(steps)]
    environment = {**os.environ, "NATIVEOPT_NUM_THREADS": "1", "NATIVEOPT_CPU_ISA": isa}
    run = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    match = re.search(r"Collected : (\d+)", run.stderr)
    if run.returncode != 0 or match is None:
        raise Unreadable(f"{' '.join(command)} failed: {run.stderr.strip()[-500:]}")
    return int(match[1])


def instructions_per_element(program, isa, kind, shape):
    total = elements(shape)
    steps = max(2, INSTRUCTIONS_OF_A_RUN // (20 * total + 1000))
    difference = count(program, isa, kind, shape, 2 * steps) - count(program, isa, kind, shape, steps)
    return difference / (steps * total)


def build_info(program):
    """The compiler with its major version, and the instruction sets that can be counted here."""
    if not os.path.exists(program):
        raise Unreadable(f"{program}: no such file; build it (cmake --preset cuda -DNATIVEOPT_BENCHMARKS=ON, and target "
                         "nativeopt_counted_steps), or name the program")
    lines = subprocess.run([program, "--build-info"], capture_output=True, text=True, check=True).stdout.splitlines()
    match = re.match(r"(\w+) (\d+)", lines[0])
    if match is None:
        raise Unreadable(f"{program} --build-info begins with '{lines[0]}', which names no compiler")
    # valgrind 3.19 knows no AVX-512.
    isas = [line.split()[0] for line in lines[1:] if line.endswith(" supported") and not line.startswith("x86-64-v4")]
    return f"{match[1]} {match[2]}", isas


def measure(program, isas):
    measured = {}
    for isa in isas:
        measured[isa] = {}
        for kind, shape in CASES:
            measured[isa][f"{kind} {shape}"] = round(instructions_per_element(program, isa, kind, shape), 3)
            print(f"{isa:12} {kind:14} {shape:>9} {measured[isa][f'{kind} {shape}']:10.3f}", flush=True)
    return measured


def faults(expected, measured):
    """What has become slower, and what cannot be compared."""
    found = []
    for isa, cases in measured.items():
        for name, value in cases.items():
            known = expected.get(isa, {}).get(name)
            if known is None:
                found.append(f"{isa}: {name} is not in the table; write it anew (--write)")
            elif value > known * (1 + TOLERANCE):
                found.append(f"{isa}: {name} takes {value:.3f} instructions an element, {value / known - 1:.1%} more than "
                             f"{known:.3f}")
    return found


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program", nargs="?", default=PROGRAM, help="nativeopt_counted_steps (default: of the preset cuda)")
    parser.add_argument("--write", action="store_true", help="write the table anew")
    parser.add_argument("--table", default=TABLE, help="the table (default: %(default)s)")
    options = parser.parse_args(arguments)
    try:
        if shutil.which("valgrind") is None:
            raise Unreadable("valgrind was not found on the PATH (Debian, Ubuntu: apt-get install valgrind)")
        compiler, isas = build_info(options.program)
        if options.write:
            # Measured first: a measurement that fails leaves the old table.
            table = {"compiler": compiler, "instructions_per_element": measure(options.program, isas)}
            with open(options.table, "w", encoding="utf-8") as file:
                json.dump(table, file, indent=2)
                file.write("\n")
            return 0
        with open(options.table, encoding="utf-8") as file:
            table = json.load(file)
        if table["compiler"] != compiler:
            print(f"SKIPPED: the table is of {table['compiler']}, and this library of {compiler}")
            return 0
        found = faults(table["instructions_per_element"], measure(options.program, isas))
    except (Unreadable, OSError, ValueError, KeyError) as error:
        print(f"instructions.py: {error}", file=sys.stderr)
        return 2
    for fault in found:
        print(f"instructions.py: {fault}", file=sys.stderr)
    print(f"{len(found)} of {len(CASES) * len(isas)} numbers above the table's" if found else "no number above the table's")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
