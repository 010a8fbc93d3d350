"""How bench.py takes times on the CPU: whoever takes part has turns of several steps, one after another. Each turn
begins behind an operation of torch, as a step does behind a backward pass: it leaves other things in the caches, and
torch's threads to wait for more work. A step is finished when its call returns."""

from __future__ import annotations

import time
from collections import defaultdict

from timing import Contender, Summary, Work, in_turns, no_garbage_collection

# The steps of a turn take at least so many seconds, so that they find caches and threads as steps leave them.
TURN = 0.02

# So many cycles begin every contender, so that all of them are equally far when their parameters are compared.
FIRST_CYCLES = 3


def begin(contender: Contender) -> None:
    """Runs what the first steps allocate, and estimates how long a cycle takes."""
    cycles = []
    for _ in range(FIRST_CYCLES):
        start = time.perf_counter()
        contender.cycle()
        cycles.append(time.perf_counter() - start)
    contender.cycle_seconds = min(cycles)


def take_turn(contender: Contender, before: Work) -> tuple[float, float]:
    """Seconds of the first run of a turn, right behind `before`, and of each of the cycles after it."""
    contender.prepare()
    before()
    start = time.perf_counter()
    contender.run()
    first = time.perf_counter() - start
    contender.finish()
    start = time.perf_counter()
    cycles = 0
    while True:
        contender.cycle()
        cycles += 1
        elapsed = time.perf_counter() - start
        if elapsed >= TURN:
            return first, elapsed / cycles


def measure(
    contenders: list[Contender], before: Work, repeats: int, seconds: float
) -> dict[str, dict[str, Summary]]:
    """Times of contenders that have begun: "first", of turns, each behind `before`, and "step", of what follows in
    them. Each has as many turns as fit in its share of `seconds`: at most `repeats`, at least 3, or 1 where a cycle
    takes a tenth of a second."""
    share = seconds / max(1, len(contenders))
    for contender in contenders:
        once = contender.cycle_seconds + max(TURN, contender.cycle_seconds)
        least = 3 if contender.cycle_seconds < 0.1 else 1
        contender.repeats = max(least, min(repeats, int(share / once)))
    rounds = max((contender.repeats for contender in contenders), default=0)
    firsts: dict[str, list[float]] = defaultdict(list)

    def turn(contender: Contender) -> float:
        first, step = take_turn(contender, before)
        firsts[contender.name].append(first)
        return step

    with no_garbage_collection():
        for contender in contenders:
            if contender.repeats > 1:
                take_turn(contender, before)
        steps = in_turns(contenders, rounds, turn)
    return {name: {"step": step, "first": Summary.of(firsts[name])} for name, step in steps.items()}
