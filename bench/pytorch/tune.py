#!/usr/bin/env python3
"""Times the steps of several builds of the library beside each other, in turns on one device.

    python3 bench/pytorch/tune.py default=a/libnativeopt.so pieces_4096=b/libnativeopt.so --out tuning.md
"""

from __future__ import annotations

import argparse
import copy
import pathlib
import signal
import sys
from contextlib import ExitStack

import torch

import shapes
from bench import interrupt, make_copy, make_timer, reason, say
from contenders import DTYPES, ROWS, Row, Workload
from device import open_device
from nativeopt import Library, LibraryError, NativeOptError
from report import COPY, table, write_file
from timing import Contender, CudaTimer, Summary, Timer, Work, measure, time_call, warm_up

SHAPES = "4x67108864,gpt2-124m,10000x64"
RULES = "adamw,deo_cached,adamw_bfloat16,adamw_remainder,adamw_dynamic8"


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="Times the steps of several builds of the library beside each other, in turns on one device.",
        epilog="The first build is what the others are compared with. Ctrl-C ends a run early and keeps what was "
        "measured.",
    )
    parser.add_argument("libraries", nargs="+", metavar="NAME=PATH", help="a build of the library")
    parser.add_argument(
        "--device", default="cuda", help="cuda, cuda:1; cpu tries the script out (default: cuda)"
    )
    parser.add_argument(
        "--shapes", metavar="A,B", default=SHAPES, help=f"as of bench.py (default: {SHAPES})"
    )
    parser.add_argument("--rules", metavar="A,B", default=RULES, help=f"as of bench.py (default: {RULES})")
    parser.add_argument(
        "--repeats", type=int, metavar="N", default=20, help="at most so many times of each (default: 20)"
    )
    parser.add_argument(
        "--seconds", type=float, metavar="S", default=1.5, help="for each rule and shape (default: 1.5)"
    )
    parser.add_argument(
        "--out", metavar="FILE", type=pathlib.Path, help="write the page there, after each row anew"
    )
    arguments = parser.parse_args()
    if not (arguments.repeats > 0 and arguments.seconds > 0):
        parser.error("--repeats and --seconds must be more than 0")
    libraries = [text.partition("=") for text in arguments.libraries]
    for name, _, path in libraries:
        if not name or not path or [one[0] for one in libraries].count(name) > 1:
            parser.error(f"{name}={path} is no build; give each as NAME=PATH, with a name of its own")
    arguments.libraries = {name: path for name, _, path in libraries}
    known = {row.name: row for row in ROWS}
    for name in arguments.rules.split(","):
        if name not in known:
            parser.error(f"--rules: {name!r} is no rule; give some of {', '.join(known)}")
    arguments.rules = [known[name] for name in arguments.rules.split(",")]
    try:
        arguments.shapes = [shapes.parse(name) for name in arguments.shapes.split(",")]
        arguments.device = open_device(arguments.device)
    except ValueError as error:
        parser.error(str(error))
    return arguments


class HostTimer(Timer):
    """In place of a CudaTimer, to try the script out. A cache stays as warm as it is."""

    def flush(self) -> None:
        pass

    def time(self, run: Work, host_seconds: float) -> float:
        return time_call(run, self)


class Page:
    """A table for each shape, with the cold time of each build on the device, or what is to be said instead."""

    def __init__(self, libraries: dict[str, str], file: pathlib.Path | None) -> None:
        self.libraries = list(libraries)
        self.file = file
        self.shapes: dict[str, list[list[str]]] = {}

    def add(self, shape: shapes.Shape, row: Row, cells: dict[str, str], of_copy: str) -> None:
        cells_in_order = [cells.get(name, "–") for name in self.libraries]
        self.shapes.setdefault(shape.name, []).append([row.name, of_copy, *cells_in_order])
        if self.file is not None:
            write_file(self.file, self.text())

    def text(self) -> str:
        lines = ["Milliseconds on the device, cold; in brackets how much less time than the first build."]
        for shape, rows in self.shapes.items():
            lines += ["", f"{shape}:", ""]
            lines += table(["rule", f"of copy, {self.libraries[0]}", *self.libraries], rows)
        return "\n".join(lines) + "\n"


def cells_of(times: dict[str, Summary], first: str) -> dict[str, str]:
    cells = {}
    for name, summary in times.items():
        text = f"{summary.median * 1e3:.4g}"
        if name != first and first in times:
            text += f" ({1 - summary.median / times[first].median:+.1%})"
        cells[name] = text
    return cells


def compare(
    row: Row,
    workload: Workload,
    libraries: dict[str, Library],
    copying: Contender,
    timer: CudaTimer | HostTimer,
    arguments: argparse.Namespace,
) -> tuple[dict[str, Summary], dict[str, str]]:
    """The times of the copy and of the builds that can take the step, and why the others cannot."""
    with ExitStack() as closing:
        taking_part = [copying]
        left_out = {}
        for name, library in libraries.items():
            own = copy.copy(workload)
            own.library = library
            try:
                contender = row.ours(own, closing)
                contender.name = name
                warm_up(contender, timer)
                taking_part.append(contender)
            except (NativeOptError, RuntimeError) as error:
                left_out[name] = reason(error)
        times = measure(taking_part, timer, arguments.repeats, arguments.seconds)
        timer.synchronize()
    return {name: kinds["cold"] for name, kinds in times.items()}, left_out


def main() -> int:
    arguments = parse_arguments()
    signal.signal(signal.SIGTERM, interrupt)
    torch.manual_seed(1)
    try:
        libraries = {name: Library(path) for name, path in arguments.libraries.items()}
    except LibraryError as error:
        print(f"tune.py: {error}", file=sys.stderr)
        return 2
    first = next(iter(libraries))
    is_cuda = arguments.device.type == "cuda"
    timer = make_timer(arguments.device) if is_cuda else HostTimer()
    copying, copy_bytes = make_copy(arguments.device)
    warm_up(copying, timer)
    page = Page(arguments.libraries, arguments.out)
    complete = True
    try:
        for shape in arguments.shapes:
            for row in arguments.rules:
                workload = Workload(libraries[first], shape.counts, arguments.device, DTYPES[row.dtype])
                times, left_out = compare(row, workload, libraries, copying, timer, arguments)
                for name, why in left_out.items():
                    say(f"{shape.name}: {row.name}, {name} left out: {why}")
                    complete = False
                of_copy = ""
                if first in times:
                    moved = row.bytes_per_element * shape.elements / times[first].median
                    of_copy = f"{moved / (copy_bytes / times[COPY].median):.3f}"
                page.add(shape, row, cells_of({n: s for n, s in times.items() if n != COPY}, first), of_copy)
                del workload
                if is_cuda:
                    torch.cuda.empty_cache()
    except KeyboardInterrupt:
        say("tune.py: cancelled; what was measured is kept")
        print(page.text(), end="")
        return 130
    print(page.text(), end="")
    return 0 if complete else 1


if __name__ == "__main__":
    sys.exit(main())
