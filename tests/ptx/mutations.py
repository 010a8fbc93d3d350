#!/usr/bin/env python3
"""Breaks the PTX in one place at a time, and says how the tests notice: a report of the interpreter, or a test that fails.

  tests/ptx/mutations.py artifacts/cmake/cuda           all of it, some minutes
  tests/ptx/mutations.py artifacts/cmake/cuda --fmad    compiled with contraction instead, which takes nvcc half a minute

The build folder needs the target nativeopt_ptx_tests. What is broken:

  barrier    each barrier of a block or of a warp, taken out
  aligned    the first wide load and store of each kernel, 4 bytes further on
  tail       each comparison of two variables that ends a loop of an update of float32 or of the sums, off by one
  store      the first store to shared memory in each kernel, taken out: a table's entry, or an address, that nobody wrote

Where a break changes nothing that can be noticed it is listed as "unnoticed", and the exit status is 1.
"""

import argparse
import collections
import concurrent.futures
import os
import re
import shlex
import subprocess
import sys
import tempfile

OTHERS = "PtxDimers.*:PtxMemory.*:PtxSums.OfGradients:CudaGraphs.*:CudaGraphOfGroups.*:Clocks.*"
TREES = "PtxDimers.*:PtxSums.*"  # of scope_sums_kernel, with many chunks
ARCHITECTURE = 80  # as in CMakeLists.txt
SECONDS = 300  # of a run, which takes one or two, and ten for the trees


class Kernel:
    def __init__(self, name, first, last):
        self.first = first  # its lines
        self.last = last
        self.name = name
        self.readable = ""

    @property
    def family(self):
        """The name without the rule."""
        return re.sub(r"<nopt::(\w+)", "<Rule", self.readable) if self.rule else self.readable

    @property
    def rule(self):
        found = re.match(r"(?:\w*update|prepare)_kernel<nopt::(\w+?)(, \d+)?>$", self.readable)
        return found.group(1).lower() if found else None

    @property
    def tests(self):
        if self.readable.startswith("scope_sums"):
            return TREES
        return f"Rules/PtxKernels.*/{self.rule}:PtxBlocks.*" if self.rule else OTHERS


def kernels_of(lines):
    kernels = []
    for number, line in enumerate(lines):
        found = re.match(r"\.visible \.entry (\w+)", line)
        if found:
            kernels.append(Kernel(found.group(1), number, None))
        elif line == "}" and kernels and kernels[-1].last is None:
            kernels[-1].last = number
    names = "\n".join(kernel.name for kernel in kernels)
    readable = subprocess.run(["c++filt"], input=names, capture_output=True, text=True, check=True).stdout.splitlines()
    for kernel, name in zip(kernels, readable):
        kernel.readable = re.sub(r"^(void )?nopt::|\(.*$", "", name)
    return kernels


def barriers(kernel, lines):
    count = collections.Counter()
    for number in range(kernel.first, kernel.last):
        found = re.match(r"\s*(bar\.(warp\.)?sync)\s", lines[number])
        if found:
            count[found.group(1)] += 1
            yield f"{found.group(1)} {count[found.group(1)]}", number, ""


def wide_accesses(kernel, lines):
    seen = set()
    for number in range(kernel.first, kernel.last):
        found = re.match(r"\s*(ld|st)\.(global\.|volatile\.)?v[24]\.[fu]32\s", lines[number])
        if found and found.group(1) not in seen:
            seen.add(found.group(1))
            moved = re.sub(r"\[(%\w+)(\+(-?\d+))?\]", lambda m: f"[{m[1]}+{int(m[3] or 0) + 4}]", lines[number])
            yield found.group(1), number, moved


def loop_ends(kernel, lines):
    """Comparisons whose result leads back."""
    if not re.match(r"update_kernel|sums_kernel", kernel.readable):
        return
    labels = {}
    for number in range(kernel.first, kernel.last):
        found = re.match(r"(\$L\w+):", lines[number])
        if found:
            labels[found.group(1)] = number
    count = 0
    for number in range(kernel.first, kernel.last):
        found = re.match(r"\s*setp\.(lt|gt|le|ge)\.[su](32|64)\s+(%p\d+), %\w+, %", lines[number])
        if not found:
            continue
        branch = next((line for line in lines[number + 1:number + 8] if re.match(r"\s*@", line)), "")
        jump = re.match(r"\s*@!?(%p\d+) bra\s+(\$L\w+);", branch)
        if jump and jump.group(1) == found.group(3) and labels.get(jump.group(2), number) < number:
            count += 1
            other = {"lt": "le", "le": "lt", "gt": "ge", "ge": "gt"}[found.group(1)]
            yield f"loop {count}", number, lines[number].replace("setp." + found.group(1), "setp." + other, 1)


def stores(kernel, lines):
    for number in range(kernel.first, kernel.last):
        if re.match(r"\s*st\.shared\.[fu](32|64)", lines[number]):
            yield "shared", number, ""
            return


KINDS = {"barrier": barriers, "aligned": wide_accesses, "tail": loop_ends, "store": stores}


def verdict_of(tests, ptx, selection):
    environment = dict(os.environ, NATIVEOPT_PTX=ptx, NATIVEOPT_PTX_GRID="1x1")
    command = [tests, "--gtest_filter=" + selection, "--gtest_brief=1"]
    try:
        done = subprocess.run(command, env=environment, capture_output=True, text=True, errors="replace", timeout=SECONDS)
    except subprocess.TimeoutExpired:
        return "does not end"
    report = re.search(r"^PTX: line .*?: ([a-z' ]+) \(block", done.stderr, re.MULTILINE)
    if report:
        return report.group(1)
    if "is stuck" in done.stderr:
        return "is stuck"
    return "a test fails" if done.returncode != 0 else "unnoticed"


def break_all(arguments, tests, ptx):
    with open(ptx, encoding="ascii") as file:
        lines = file.read().split("\n")
    breaks = []
    for kind in arguments.kind or KINDS:
        for kernel in kernels_of(lines):
            if re.search(arguments.kernel, kernel.readable):
                breaks += [(kind, kernel, *one) for one in KINDS[kind](kernel, lines)]

    def run(one):
        kind, kernel, what, number, instead = one
        with tempfile.NamedTemporaryFile("w", suffix=".ptx", encoding="ascii") as file:
            file.write("\n".join(lines[:number] + [instead] + lines[number + 1:]))
            file.flush()
            return verdict_of(tests, file.name, kernel.tests)

    verdicts = collections.defaultdict(collections.Counter)
    unnoticed = []
    with concurrent.futures.ThreadPoolExecutor(arguments.jobs) as pool:
        for done, (one, verdict) in enumerate(zip(breaks, pool.map(run, breaks)), 1):
            kind, kernel, what, number, _ = one
            verdicts[kind, kernel.family, what][verdict] += 1
            if verdict == "unnoticed":
                unnoticed.append(f"{kind}, {kernel.readable}, {what}, line {number + 1}: {lines[number].strip()}")
            if sys.stderr.isatty():
                print(f"\r{done} of {len(breaks)}", end="", file=sys.stderr)
    print("| what | kernel | where | how it was noticed |\n| --- | --- | --- | --- |")
    for (kind, family, what), counts in verdicts.items():
        print(f"| {kind} | {family} | {what} | " + ", ".join(f"{n}: {text}" for text, n in counts.most_common()) + " |")
    print(f"\n{len(breaks)} breaks, {len(unnoticed)} unnoticed")
    for one in unnoticed:
        print("unnoticed:", one)
    return 1 if unnoticed else 0


def contract(build, tests, ptx):
    """Compiles as the build does, but for contraction, and for PTX alone."""
    listed = subprocess.run(["ninja", "-C", build, "-t", "commands", os.path.relpath(ptx, build)],
                            capture_output=True, text=True, check=True)
    commands = [shlex.split(line) for line in listed.stdout.splitlines() if "-fmad=false" in line]
    with tempfile.TemporaryDirectory() as folder:

        def compiled(words):
            words = ["-fmad=true" if word == "-fmad=false" else word for word in words
                     if not word.startswith("--generate-code=")]
            output = os.path.join(folder, f"{os.path.basename(words[words.index('-o') + 1])}.ptx")
            words[words.index("-o") + 1] = output
            words[words.index("-MF") + 1] = output + ".d"
            words[words.index("-c")] = "-ptx"
            subprocess.run([*words, f"-arch=compute_{ARCHITECTURE}"], cwd=build, check=True)
            with open(output, encoding="ascii") as file:
                return file.read()

        with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
            texts = list(pool.map(compiled, commands))
        other = os.path.join(folder, "contracted.ptx")
        with open(other, "w", encoding="ascii") as file:
            file.write("\n".join(texts))
        verdict = verdict_of(tests, other, "Rules/PtxKernels.*")
        print("-fmad=true:", verdict)
        return 1 if verdict == "unnoticed" else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build", help="the build folder")
    parser.add_argument("--kind", action="append", choices=KINDS, help="only this kind of break (may be repeated)")
    parser.add_argument("--kernel", default="", help="only kernels whose names match this expression")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="runs at one time")
    parser.add_argument("--fmad", action="store_true", help="compile with -fmad=true instead")
    arguments = parser.parse_args()
    folder = os.path.join(os.path.abspath(arguments.build), "tests", "ptx")
    tests = os.path.join(folder, "nativeopt_ptx_tests")
    ptx = os.path.join(folder, "nativeopt.ptx")
    if not os.path.exists(tests) or not os.path.exists(ptx):
        sys.exit(f"{arguments.build} has no tests of the PTX; build the target nativeopt_ptx_tests there")
    if arguments.fmad:
        return contract(os.path.abspath(arguments.build), tests, ptx)
    return break_all(arguments, tests, ptx)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
