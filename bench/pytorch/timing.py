"""How bench.py takes times on CUDA: of one step on a device that has waited for its host, with a cold or a warm
cache; and of many steps on the host's clock. turns.py has what it does on the CPU."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch

Work = Callable[[], object]

# How long the device waits for the host at most; what a host may take to queue a step for that to be enough.
LONGEST_DELAY = 0.1
MARGIN = 1.5
HIDDEN_HOST_SECONDS = LONGEST_DELAY / MARGIN


def nothing() -> None:
    pass


@dataclass
class Summary:
    """Of several times, in seconds."""

    median: float
    q1: float
    q3: float
    count: int

    @staticmethod
    def of(times: list[float]) -> Summary:
        if len(times) < 2:
            return Summary(times[0], times[0], times[0], len(times))
        q1, median, q3 = statistics.quantiles(times, n=4, method="inclusive")
        return Summary(median, q1, q3, len(times))


class Timer:
    """Of work that is finished when its call returns, as on the CPU."""

    asynchronous = False

    def synchronize(self) -> None:
        """Waits until the device has done everything."""


class CudaTimer(Timer):
    """Times work of the current stream by events. `cuda` is torch.cuda, or what a test puts in its place."""

    asynchronous = True

    def __init__(self, flush_bytes: int, device: str = "cuda", cuda: Any = torch.cuda) -> None:
        # One is written, then the other one read: what the cache then holds need not be written back later.
        self._written = torch.empty(flush_bytes // 4, dtype=torch.float32, device=device)
        self._read = torch.zeros(flush_bytes // 4, dtype=torch.float32, device=device)
        self._cuda = cuda
        self._cycles_per_second = 0.0
        for _ in range(2):  # the first call loads the kernel
            cycles = 10_000_000
            self._cycles_per_second = cycles / self._elapsed(lambda: cuda._sleep(cycles))

    def flush(self) -> None:
        """Leaves nothing of the step's tensors in the cache."""
        self._written.fill_(1.0)
        self._read.sum()

    def synchronize(self) -> None:
        self._cuda.synchronize()

    def time(self, run: Work, host_seconds: float) -> float:
        """Seconds that `run` takes on the device. `host_seconds`: what the host needs to queue it."""
        # The device spins until the host has queued the whole step: no gaps between launches are in the time.
        delay = min(MARGIN * host_seconds + 50e-6, LONGEST_DELAY)
        self._cuda._sleep(int(delay * self._cycles_per_second))
        return self._elapsed(run)

    def _elapsed(self, run: Work) -> float:
        start = self._cuda.Event(enable_timing=True)
        stop = self._cuda.Event(enable_timing=True)
        start.record()
        run()
        stop.record()
        stop.synchronize()
        return start.elapsed_time(stop) / 1e3


@dataclass
class Contender:
    """What takes part in a measurement. One cycle is prepare, run, finish; only run is timed by itself."""

    name: str
    run: Work
    prepare: Work = nothing
    finish: Work = nothing

    # Filled by measure().
    host_seconds: float = 0.0  # that a run keeps the host busy
    cycle_seconds: float = 0.0  # of a whole cycle, back to back
    repeats: int = 0

    def cycle(self) -> None:
        self.prepare()
        self.run()
        self.finish()


@contextmanager
def no_garbage_collection() -> Iterator[None]:
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def warm_up(contender: Contender, timer: Timer) -> None:
    """Runs what the first runs load, compile and allocate, and estimates how long a cycle takes."""
    contender.cycle()
    timer.synchronize()
    host: list[float] = []
    cycles: list[float] = []
    while len(cycles) < 3 and sum(cycles) < 0.5:
        start = time.perf_counter()
        contender.prepare()
        queued = time.perf_counter()
        contender.run()
        host.append(time.perf_counter() - queued)
        contender.finish()
        timer.synchronize()
        cycles.append(time.perf_counter() - start)
    contender.host_seconds = statistics.median(host)
    contender.cycle_seconds = statistics.median(cycles)


def time_cold(contender: Contender, timer: CudaTimer) -> float:
    contender.prepare()
    timer.flush()
    seconds = timer.time(contender.run, contender.host_seconds)
    contender.finish()
    return seconds


def time_warm(contender: Contender, timer: CudaTimer) -> float:
    contender.cycle()
    contender.prepare()
    seconds = timer.time(contender.run, contender.host_seconds)
    contender.finish()
    return seconds


def time_back_to_back(contender: Contender, timer: Timer, cycles: int) -> float:
    timer.synchronize()
    start = time.perf_counter()
    for _ in range(cycles):
        contender.cycle()
    timer.synchronize()
    return (time.perf_counter() - start) / cycles


def time_call(call: Work, timer: Timer) -> float:
    """Of the call itself, on an idle device."""
    timer.synchronize()
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def in_turns(
    contenders: list[Contender], rounds: int, measure: Callable[[Contender], float]
) -> dict[str, Summary]:
    """Round robin, so that a drift of the clocks is everyone's. Who has fewer repeats sits out evenly."""
    times: dict[str, list[float]] = {contender.name: [] for contender in contenders}
    for turn in range(rounds):
        for contender in contenders:
            if len(times[contender.name]) * rounds <= turn * contender.repeats:
                times[contender.name].append(measure(contender))
    return {name: Summary.of(values) for name, values in times.items()}


def measure(
    contenders: list[Contender], timer: CudaTimer, repeats: int, seconds: float
) -> dict[str, dict[str, Summary]]:
    """Cold, warm and back-to-back times of contenders that are warmed up. Each gets as many repeats as fit in
    its share of `seconds`: at most `repeats`, at least 3, or 1 where a cycle takes a tenth of a second."""
    share = seconds / max(1, len(contenders))
    for contender in contenders:
        # A cold time and the two cycles of a warm one, with their delays; the rest is for back-to-back times.
        once = 3 * contender.cycle_seconds + 2 * min(MARGIN * contender.host_seconds, LONGEST_DELAY) + 1e-3
        contender.repeats = max(
            3 if contender.cycle_seconds < 0.1 else 1, min(repeats, int(0.7 * share / once))
        )
    rounds = max((contender.repeats for contender in contenders), default=0)

    def back_to_back(contender: Contender) -> float:
        cycles = int(0.3 * share / contender.repeats / max(contender.cycle_seconds, 1e-6))
        return time_back_to_back(contender, timer, max(1, min(cycles, 200)))

    with no_garbage_collection():
        kinds = {
            "cold": in_turns(contenders, rounds, lambda contender: time_cold(contender, timer)),
            "warm": in_turns(contenders, rounds, lambda contender: time_warm(contender, timer)),
            "back_to_back": in_turns(contenders, rounds, back_to_back),
        }
    return {contender.name: {kind: kinds[kind][contender.name] for kind in kinds} for contender in contenders}
