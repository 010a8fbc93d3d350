#!/usr/bin/env python3
"""Times NativeOpt's steps beside PyTorch's, in one process on one device; README.md says how.

    python3 bench/pytorch/bench.py --library artifacts/cmake/cuda/native/libnativeopt.so --quick --out results
"""

from __future__ import annotations

import argparse
import datetime
import math
import os
import pathlib
import platform
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from types import FrameType
from typing import Any

import torch

import cpu_report
import report
import shapes
import turns
from agreement import disagreement
from contenders import DTYPES, ROWS, LeftOut, Row, Workload, host_calls
from device import open_device
from nativeopt import Library, LibraryError, NativeOptError
from timing import (
    HIDDEN_HOST_SECONDS,
    Contender,
    CudaTimer,
    Summary,
    Timer,
    measure,
    no_garbage_collection,
    time_call,
    warm_up,
)

GIB = 1 << 30
HOST_TENSORS = (148, 10_000)
# From so many tensors on it shows that Python collects their gradients, and steps that do not are timed, too.
MANY_TENSORS = 100
# The longest that one torch.compile may take; it has been seen to never end.
LONGEST_COMPILE = 60.0


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="Times NativeOpt's steps beside PyTorch's, in one process on one device.",
        epilog="Ctrl-C ends a run early and keeps what was measured. Run check.py first.",
    )
    parser.add_argument("--library", metavar="PATH", help="the native library (default: NATIVEOPT_LIBRARY)")
    parser.add_argument("--device", default="cuda", help="cuda, cuda:1, cpu (default: cuda)")
    parser.add_argument(
        "--shapes", metavar="A,B", help=f"{', '.join(shapes.NAMED)} or COUNTxSIZE such as 1x134217728"
    )
    parser.add_argument(
        "--dtype",
        metavar="A,B",
        default="float32",
        help="float32; bfloat16: parameters and gradients of it; dynamic8: float32 ones with states of 8 bits; "
        "or several (default: float32)",
    )
    parser.add_argument(
        "--rules",
        metavar="A,B",
        help="; ".join(
            f"{name}: {', '.join(row.name for row in ROWS if row.dtype == name)}" for name in DTYPES
        ),
    )
    parser.add_argument(
        "--peers", metavar="A,B", help=f"whom to measure beside NativeOpt: {', '.join(report.PEERS)}"
    )
    parser.add_argument(
        "--threads", type=int, metavar="N", help="of torch and of NativeOpt, on the CPU (default: torch's number)"
    )
    parser.add_argument(
        "--quick", action="store_true", help="about a minute: fewer shapes, rules and repeats"
    )
    parser.add_argument(
        "--repeats", type=int, metavar="N", help="at most so many times of each (default: 30, quick: 10)"
    )
    parser.add_argument("--seconds", type=float, metavar="S", help="for each rule and shape (default: 1.5)")
    parser.add_argument(
        "--minutes", type=float, metavar="M", help="begin nothing after this (default: 5, quick: 1.5)"
    )
    parser.add_argument(
        "--compile-seconds",
        type=float,
        metavar="S",
        help="for torch.compile, all told (default: 90, quick: 0, which is none)",
    )
    parser.add_argument(
        "--out", metavar="DIR", type=pathlib.Path, help="write results.json and results.md there"
    )
    arguments = parser.parse_args()

    quick = arguments.quick
    for name, full_value, quick_value in (
        ("repeats", 30, 10),
        ("seconds", 1.5, 1.5),
        ("minutes", 5.0, 1.5),
        ("compile_seconds", 90.0, 0.0),
    ):
        value = getattr(arguments, name)
        if value is None:
            setattr(arguments, name, quick_value if quick else full_value)
        elif not (0 < value < math.inf or (name == "compile_seconds" and value == 0)):
            parser.error(f"--{name.replace('_', '-')} is {value}; it must be more than 0 and finite")
    try:
        arguments.device = open_device(arguments.device)
    except ValueError as error:
        parser.error(str(error))
    is_cpu = arguments.device.type == "cpu"
    if arguments.threads is not None and not (is_cpu and 1 <= arguments.threads <= 1024):
        parser.error(f"--threads is {arguments.threads}; it must be 1 to 1024, and goes with --device cpu")
    of_device = (shapes.CPU, shapes.CPU_QUICK) if is_cpu else (shapes.FULL, shapes.QUICK)
    default_shapes = of_device[quick]
    try:
        names = arguments.shapes.split(",") if arguments.shapes else default_shapes
        arguments.shapes = [shapes.parse(name) for name in names]
    except ValueError as error:
        parser.error(f"--shapes: {error}")
    arguments.peers = arguments.peers.split(",") if arguments.peers else report.PEERS
    for name in arguments.peers:
        if name not in report.PEERS:
            parser.error(f"--peers: {name!r} is no peer; give some of {', '.join(report.PEERS)}")
    quick_rules = ["adam", "adamw", "dualadam", "deo_cached", "deo_update"]
    dtypes = arguments.dtype.split(",")
    for name in dtypes:
        if name not in DTYPES:
            parser.error(f"--dtype: {name!r} is no type; give some of {', '.join(DTYPES)}")
    # In this order: float32 is what most bars are about, and time may run out.
    arguments.dtypes = [name for name in DTYPES if name in dtypes]
    rows = [row for row in ROWS if row.dtype in arguments.dtypes]
    all_rules = [row.name for row in rows]
    quick_rules += [row.name for row in rows if row.dtype != "float32"]
    chosen = arguments.rules.split(",") if arguments.rules else quick_rules if quick else all_rules
    for name in chosen if arguments.rules else []:
        if name not in all_rules:
            parser.error(
                f"--rules: {name!r} is no rule of {arguments.dtype}; give some of {', '.join(all_rules)}"
            )
    arguments.rules = [row for row in rows if row.name in chosen]
    return arguments


def output_of(*command: str) -> str | None:
    try:
        result = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return result.stdout.strip().splitlines()[0] if result.stdout.strip() else None


def cpu_name() -> str:
    try:
        lines = pathlib.Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.machine()
    return next(
        (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine()
    )


def environment(library: Library, device: torch.device) -> dict[str, str]:
    """What the numbers depend on."""
    found = {"device": cpu_name()}
    if device.type == "cpu":
        threads = torch.get_num_threads()
        found |= {
            "threads": f"{threads} of torch, {threads} of NativeOpt; {os.cpu_count()} processors",
            "how torch's threads wait": waiting(),
        }
        if hasattr(torch.backends, "cpu"):  # not in torch 1
            found["instruction set of torch"] = torch.backends.cpu.get_cpu_capability()
    if device.type == "cuda":
        properties = torch.cuda.get_device_properties(device)
        found = {
            "device": f"{properties.name}, {properties.multi_processor_count} processors, "
            f"{properties.total_memory / GIB:.0f} GiB, {l2_bytes(device) / 2**20:.0f} MiB of L2",
            "driver": output_of("nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader")
            or "unknown",
            "host": cpu_name(),
        }
    commit = output_of("git", "-C", str(pathlib.Path(__file__).parent), "rev-parse", "HEAD")
    return found | {
        "NativeOpt": f"{library.version} ({library.build_info})" + (f", commit {commit}" if commit else ""),
        "torch": f"{torch.__version__}, CUDA {torch.version.cuda or 'none'}",
        "Python": platform.python_version(),
        "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        "command": shlex.join(["bench.py", *sys.argv[1:]]),
    }


def waiting() -> str:
    """What the OpenMP libraries go by. They read it when they are loaded."""
    names = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")
    chosen = [f"{name}={os.environ[name]}" for name in names if name in os.environ]
    return ", ".join(chosen) or f"as by default, none of {', '.join(names)} is set"


def l2_bytes(device: torch.device) -> int:
    return getattr(torch.cuda.get_device_properties(device), "L2_cache_size", 64 * 2**20)


def make_timer(device: torch.device) -> Timer:
    if device.type == "cpu":
        return Timer()
    return CudaTimer(2 * l2_bytes(device), str(device))


def make_copy(device: torch.device) -> tuple[Contender, int]:
    """torch's own copy of a large buffer, the floor of all that moves memory; and the bytes that it moves."""
    size = 32 * 2**20
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        size = min(GIB, free // 16)
    source = torch.ones(size // 4, device=device)
    destination = torch.zeros_like(source)
    return Contender(report.COPY, lambda: destination.copy_(source)), 2 * size


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    def expire(signum: int, frame: FrameType | None) -> None:
        raise TimeoutError(f"took more than {seconds:.0f} s")

    before = signal.signal(signal.SIGALRM, expire)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def reason(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0] if lines else 'no message'}"[:300]


class Bench:
    """One run."""

    def __init__(self, arguments: argparse.Namespace, library: Library) -> None:
        self.arguments = arguments
        self.library = library
        self.device: torch.device = arguments.device
        self.began = time.monotonic()
        self.compile_left: float = arguments.compile_seconds
        self.timer = make_timer(self.device)
        # What is finished when its call returns is timed in turns; turns.py says how.
        self.by_turns = not self.timer.asynchronous
        self.copy_bytes = 0
        if self.by_turns:
            self.elsewhere = torch.zeros(2**24)
        else:
            self.copy, self.copy_bytes = make_copy(self.device)
            warm_up(self.copy, self.timer)
        self.results: dict[str, Any] = {
            "environment": environment(library, self.device),
            "copy_bytes": self.copy_bytes,
            "items": [],
            "host": [],
            "bars": [],
            "stopped": "",
        }

    def time_is_up(self) -> bool:
        return time.monotonic() - self.began > 60 * self.arguments.minutes

    def run(self) -> None:
        self.measure_host()
        for dtype in self.arguments.dtypes:
            rows = [row for row in self.arguments.rules if row.dtype == dtype]
            for shape in self.arguments.shapes if rows else []:
                workload = Workload(self.library, shape.counts, self.device, DTYPES[dtype])
                for row in rows:
                    if self.time_is_up():
                        minutes = f"{self.arguments.minutes:g} minutes"
                        self.results["stopped"] = f"{row.name} on {shape.name} was not begun within {minutes}"
                        return
                    began = time.monotonic()
                    self.results["items"].append(self.measure(shape, workload, row))
                    self.keep()
                    took = time.monotonic() - began
                    say(f"{began + took - self.began:5.0f} s  {shape.name}: {row.name} ({took:.1f} s)")
                del workload
                if self.device.type == "cuda":
                    torch.cuda.empty_cache()

    def page(self) -> str:
        return (cpu_report if self.by_turns else report).markdown(self.results)

    def keep(self) -> None:
        """Writes what there is."""
        is_cuda = self.device.type == "cuda"
        self.results["bars"] = [report.judge(bar, self.results["items"], is_cuda) for bar in report.BARS]
        if self.arguments.out is not None:
            report.write(self.results, self.page(), self.arguments.out)

    def measure(self, shape: shapes.Shape, workload: Workload, row: Row) -> dict[str, Any]:
        item: dict[str, Any] = {
            "shape": shape.name,
            "tensors": len(shape.counts),
            "elements": shape.elements,
            "rule": row.name,
            "dtype": row.dtype,
            "note": row.note,
            "bytes_per_element": row.bytes_per_element,
            "left_out": {},
            "times": {},
            "host_seconds": {},
            "host_bound": [],
            "disagree": [],
        }
        peers = {name: make for name, make in row.peers_on(self.device).items() if name in self.arguments.peers}
        with ExitStack() as closing:
            taking_part = [] if self.by_turns else [self.copy]
            makes = {report.OURS: row.ours, **peers}
            if self.by_turns and row.torch_default is not None and len(shape.counts) >= MANY_TENSORS:
                makes[report.BOUND] = row.ours
            params = None
            for name, make in makes.items():
                own = workload.clone(collects_grads=name == report.OURS) if self.by_turns else workload
                try:
                    contender = self.prepare(name, make, own, closing)
                    if self.by_turns and row.torch_default is not None:
                        params = params or own.params  # ours, which come first
                        found = disagreement(params, own.params, workload.params, turns.FIRST_CYCLES)
                        if found:
                            item["disagree"].append(name)
                            raise LeftOut(found)
                    taking_part.append(contender)
                except Exception as error:
                    item["left_out"][name] = str(error) if isinstance(error, LeftOut) else reason(error)
                    say(f"         {shape.name}: {row.name}, {name} left out: {item['left_out'][name]}")
            repeats, seconds = self.arguments.repeats, self.arguments.seconds
            if self.by_turns:
                times = turns.measure(taking_part, lambda: self.elsewhere.add_(1.0), repeats, seconds)
            else:
                times = measure(taking_part, self.timer, repeats, seconds)
            for contender in taking_part:
                item["times"][contender.name] = {
                    k: asdict(summary) for k, summary in times[contender.name].items()
                }
                item["host_seconds"][contender.name] = contender.host_seconds
                if self.timer.asynchronous and contender.host_seconds > HIDDEN_HOST_SECONDS:
                    item["host_bound"].append(contender.name)
            self.timer.synchronize()
        report.derive(item, self.copy_bytes)
        return item

    def prepare(self, name: str, make: Any, workload: Workload, closing: ExitStack) -> Contender:
        """A contender that is warm. Raises where it cannot take part."""
        if name != "compile":
            return self.begin(name, make, workload, closing)
        if self.compile_left <= 1:
            raise LeftOut("the time for torch.compile is spent (--compile-seconds)")
        began = time.monotonic()
        try:
            with time_limit(min(self.compile_left, LONGEST_COMPILE)):
                return self.begin(name, make, workload, closing)
        finally:
            self.compile_left -= time.monotonic() - began

    def begin(self, name: str, make: Any, workload: Workload, closing: ExitStack) -> Contender:
        contender = make(workload, closing)
        contender.name = name
        if self.by_turns:
            turns.begin(contender)
        else:
            warm_up(contender, self.timer)
        return contender

    def measure_host(self) -> None:
        for tensors in HOST_TENSORS:
            with ExitStack() as closing:
                calls = host_calls(self.library, tensors, self.device, self.timer.asynchronous, closing)
                for name, call in calls.items():
                    row: dict[str, Any] = {"call": name, "tensors": tensors}
                    try:
                        for _ in range(3):
                            call()
                        with no_garbage_collection():
                            times = [time_call(call, self.timer) for _ in range(self.arguments.repeats)]
                    except Exception as error:
                        say(f"         {name} left out: {reason(error)}")
                        continue
                    row["time"] = asdict(Summary.of(times))
                    self.results["host"].append(row)
                self.timer.synchronize()
        self.keep()
        say(f"{time.monotonic() - self.began:5.0f} s  what calls cost the host")


def interrupt(signum: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def main() -> int:
    arguments = parse_arguments()
    signal.signal(signal.SIGTERM, interrupt)
    torch.manual_seed(1)
    try:
        library = Library(arguments.library)
        if arguments.device.type == "cpu":
            if arguments.threads is not None:
                torch.set_num_threads(arguments.threads)
            library.nopt_cpu_set_num_threads(torch.get_num_threads())
        if arguments.out is not None:
            arguments.out.mkdir(parents=True, exist_ok=True)
        bench = Bench(arguments, library)
    except (LibraryError, NativeOptError, OSError) as error:
        print(f"bench.py: {error}", file=sys.stderr)
        return 2
    status = 0
    try:
        with torch.no_grad():
            bench.run()
    except KeyboardInterrupt:
        bench.results["stopped"] = "interrupted"
        status = 130
    except Exception as error:  # a fault of the device, say: what was measured before is kept
        bench.results["stopped"] = reason(error)
        say(f"bench.py: {reason(error)}")
        status = 1
    bench.keep()
    print(bench.page())
    failed = False
    for item in bench.results["items"]:
        for name in dict.fromkeys([*({report.OURS} - set(item["times"])), *item["disagree"]]):
            failed = True
            say(f"bench.py: {name}, {item['rule']} on {item['shape']}, failed: {item['left_out'][name]}")
    return status or (1 if failed else 0)


if __name__ == "__main__":
    sys.exit(main())
