#!/usr/bin/env python3
"""Compares NativeOpt with torch's fused optimizers on the CPU, and writes one page: bench.py's tables, and what becomes
of some of them when torch's threads wait in other ways for work.

    OMP_NUM_THREADS=2 python3 bench/pytorch/cpu.py --library artifacts/cmake/release/native/libnativeopt.so --out cpu.md
"""

from __future__ import annotations

import argparse
import json
import os
import pathlib
import shlex
import signal
import subprocess
import sys
import tempfile
from typing import Any

import cpu_report
import report

FOLDER = pathlib.Path(__file__).parent

# How torch's threads wait for work. OpenMP's libraries read it once, so that each takes a process of its own. What is
# set outside does not count.
DEFAULT = "default"
WAITING = {
    DEFAULT: {},
    "OMP_WAIT_POLICY=passive": {"OMP_WAIT_POLICY": "passive"},
    "GOMP_SPINCOUNT=10000": {"GOMP_SPINCOUNT": "10000"},
    "OMP_WAIT_POLICY=active": {"OMP_WAIT_POLICY": "active"},
}

RULES = (
    "sgd_momentum,adam,adamw,adagrad,"
    "sgd_momentum_bfloat16,sgd_momentum_float32_states,adam_bfloat16,adam_float32_states,adagrad_float32_states"
)
SHAPES = "1x16777216,200x10000,1000x100,10000x64"
# With more elements torch's other optimizers take a second and more for a step, and say nothing new.
LARGE_SHAPES = "gpt2-124m"
# What is measured in each way of waiting.
RULES_OF_WAITING = "adam,adam_bfloat16"
SHAPES_OF_WAITING = "1x16777216,200x10000,1000x100"

HOW = """Medians in ms, with quartiles in parentheses from three turns on, and how many times as long torch takes.
Each turn begins behind an operation of torch that goes through 64 MiB of other memory. Its *first step* is timed
alone: it finds caches and threads as a backward pass leaves them. *Steps* are those that follow in the turn, for 20 ms
or longer. torch and NativeOpt use as many threads as each other, and torch allocates all buffers. *NativeOpt* collects
the gradients' addresses in Python in each step, as torch does; *its step alone* is on gradients that were bound once.
*fused*, *foreach* and *loop* are torch's optimizers with `fused=True`, `foreach=True` and `foreach=False`. After three
steps their parameters agreed with NativeOpt's up to rounding; where they do not, torch is left out, and the page says
so. *GB/s* counts what NativeOpt's step must read and write."""

WAITING_HOW = """By default libgomp lets threads that have nothing to do spin for some milliseconds, and so keeps
processors from NativeOpt's threads. With `OMP_WAIT_POLICY=active` they spin for ever; with `passive` they sleep at
once, and have to be woken for each operation. `GOMP_SPINCOUNT=10000` lets them spin for a fraction of a
millisecond."""


def run(waiting: str, arguments: list[str]) -> tuple[int, dict[str, Any] | None]:
    """The exit status of bench.py and what it measured."""
    names = {name for environment in WAITING.values() for name in environment}
    environment = {name: value for name, value in os.environ.items() if name not in names}
    print(f"torch's threads wait: {waiting}", file=sys.stderr, flush=True)
    with tempfile.TemporaryDirectory() as out:
        command = [sys.executable, str(FOLDER / "bench.py"), "--device", "cpu", *arguments, "--out", out]
        # In a session of its own, so that Ctrl-C reaches it once, from here.
        with subprocess.Popen(
            command, stdout=subprocess.DEVNULL, env=environment | WAITING[waiting], start_new_session=True
        ) as process:
            try:
                status = process.wait()
            except KeyboardInterrupt:
                process.send_signal(signal.SIGINT)
                status = process.wait()
        path = pathlib.Path(out) / "results.json"
        return status, json.loads(path.read_text(encoding="utf-8")) if path.exists() else None


def page(runs: dict[str, dict[str, Any]]) -> str:
    main = runs[DEFAULT]
    main["environment"]["command"] = shlex.join(["cpu.py", *sys.argv[1:]])
    lines = ["# NativeOpt beside PyTorch's fused optimizers, on the CPU", "", *cpu_report.environment_list(main)]
    lines += ["", *HOW.splitlines(), *cpu_report.tables(main)]
    if len(runs) > 1:
        lines += ["", "## How torch's threads wait", "", *WAITING_HOW.splitlines(), ""]
        others = [results for name, results in runs.items() if name != DEFAULT]
        measured = {(item["rule"], item["shape"]) for results in others for item in results["items"]}
        lines += cpu_report.waiting_table(runs, measured)
        for name, results in runs.items():
            if name != DEFAULT:
                items = [(item, f"{item['rule']} on {item['shape']}, {name}") for item in results["items"]]
                lines += cpu_report.stopped(results) + report.left_out(items)
    return "\n".join(lines) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--library", metavar="PATH", help="the native library (default: NATIVEOPT_LIBRARY)")
    parser.add_argument("--threads", metavar="N", help="of torch and of NativeOpt (default: torch's number)")
    parser.add_argument("--shapes", metavar="A,B", help="instead of bench.py's")
    parser.add_argument("--seconds", metavar="S", default="1", help="for each rule and shape (default: 1)")
    parser.add_argument("--out", metavar="FILE", type=pathlib.Path, help="write the page there")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)

    common = ["--dtype", "float32,bfloat16", "--seconds", arguments.seconds, "--minutes", "10"]
    for name in ("library", "threads"):
        if getattr(arguments, name) is not None:
            common += [f"--{name}", getattr(arguments, name)]
    to_run = [(DEFAULT, ["--rules", RULES, "--shapes", arguments.shapes or SHAPES])]
    if not arguments.shapes:
        to_run.append((DEFAULT, ["--rules", RULES, "--shapes", LARGE_SHAPES, "--peers", "fused"]))
    of_waiting = ["--rules", RULES_OF_WAITING, "--shapes", arguments.shapes or SHAPES_OF_WAITING, "--peers", "fused"]
    to_run += [(waiting, of_waiting) for waiting in WAITING if waiting != DEFAULT]

    runs: dict[str, dict[str, Any]] = {}
    worst = 0
    for waiting, options in to_run:
        status, results = run(waiting, [*common, *options])
        worst = max(worst, status)
        if results is None:
            break
        if waiting in runs:
            runs[waiting]["items"] += results["items"]
            runs[waiting]["stopped"] = results["stopped"]
        else:
            runs[waiting] = results
        if arguments.out is not None:
            report.write_file(arguments.out, page(runs))
        if results["stopped"]:
            break
    if runs:
        print(page(runs))
    return worst


if __name__ == "__main__":
    sys.exit(main())
