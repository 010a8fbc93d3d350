"""Who is timed when. No test here asserts how long anything takes."""

from __future__ import annotations

import unittest

try:
    import torch
except ImportError as error:
    raise unittest.SkipTest("torch is not installed") from error

import timing
from timing import Contender, CudaTimer, Summary, Timer


class FakeEvent:
    def __init__(self, cuda: FakeCuda, enable_timing: bool) -> None:
        self.cuda = cuda
        assert enable_timing
        self.recorded_at: float | None = None

    def record(self) -> None:
        self.recorded_at = self.cuda.clock
        self.cuda.log.append("record")

    def synchronize(self) -> None:
        assert self.recorded_at is not None
        self.cuda.log.append("event.synchronize")

    def elapsed_time(self, end: FakeEvent) -> float:
        return (end.recorded_at - self.recorded_at) * 1e3


class FakeCuda:
    """A device of 1 GHz whose clock only moves when it works."""

    def __init__(self) -> None:
        self.clock = 0.0
        self.log: list[str] = []
        self.slept: list[int] = []

    def Event(self, enable_timing: bool = False) -> FakeEvent:
        return FakeEvent(self, enable_timing)

    def _sleep(self, cycles: int) -> None:
        self.clock += cycles / 1e9
        self.slept.append(cycles)
        self.log.append("sleep")

    def synchronize(self) -> None:
        self.log.append("synchronize")

    def work(self, seconds: float) -> None:
        self.clock += seconds
        self.log.append("work")


def contender(name: str, cycle_seconds: float = 1e-6) -> Contender:
    return Contender(name, timing.nothing, cycle_seconds=cycle_seconds)


class CudaTimerTests(unittest.TestCase):
    def setUp(self) -> None:
        self.cuda = FakeCuda()
        self.timer = CudaTimer(1024, "cpu", self.cuda)
        self.cuda.log.clear()
        self.cuda.slept.clear()

    def test_only_the_work_is_between_the_events(self) -> None:
        seconds = self.timer.time(lambda: self.cuda.work(0.25), 1e-3)
        self.assertAlmostEqual(seconds, 0.25)
        self.assertEqual(self.cuda.log, ["sleep", "record", "work", "record", "event.synchronize"])

    def test_the_device_waits_for_the_host_but_not_for_ever(self) -> None:
        self.timer.time(timing.nothing, 1e-3)
        self.timer.time(timing.nothing, 10.0)
        self.assertAlmostEqual(self.cuda.slept[0] / 1e9, timing.MARGIN * 1e-3 + 50e-6)
        self.assertAlmostEqual(self.cuda.slept[1] / 1e9, timing.LONGEST_DELAY)

    def test_a_cold_time_flushes_after_preparing(self) -> None:
        log = self.cuda.log
        self.timer.flush = lambda: log.append("flush")
        one = Contender(
            "one",
            lambda: self.cuda.work(1.0),
            lambda: log.append("prepare"),
            lambda: log.append("finish"),
        )
        self.assertAlmostEqual(timing.time_cold(one, self.timer), 1.0)
        self.assertEqual(
            log, ["prepare", "flush", "sleep", "record", "work", "record", "event.synchronize", "finish"]
        )

    def test_a_warm_time_is_a_second_cycle(self) -> None:
        log = self.cuda.log
        self.timer.flush = lambda: log.append("flush")
        timing.time_warm(Contender("one", lambda: self.cuda.work(1.0)), self.timer)
        self.assertEqual(log, ["work", "sleep", "record", "work", "record", "event.synchronize"])

    def test_back_to_back_waits_once(self) -> None:
        timing.time_back_to_back(Contender("one", lambda: self.cuda.work(1.0)), self.timer, 3)
        self.assertEqual(self.cuda.log, ["synchronize", "work", "work", "work", "synchronize"])

    def test_flushing_writes_the_whole_buffer(self) -> None:
        self.timer._written.zero_()
        self.timer.flush()
        self.assertEqual(self.timer._written.sum().item(), 1024 // 4)


class InTurnsTests(unittest.TestCase):
    def test_everyone_has_a_turn_in_every_round(self) -> None:
        one, two = contender("one"), contender("two")
        one.repeats = two.repeats = 3
        order: list[str] = []

        def measure(who: Contender) -> float:
            order.append(who.name)
            return float(len(order))

        found = timing.in_turns([one, two], 3, measure)
        self.assertEqual(order, ["one", "two"] * 3)
        self.assertEqual((found["one"].median, found["two"].median), (3.0, 4.0))

    def test_the_slow_sit_out_evenly(self) -> None:
        fast, slow = contender("fast"), contender("slow")
        fast.repeats, slow.repeats = 9, 3
        order: list[str] = []
        timing.in_turns([fast, slow], 9, lambda who: order.append(who.name) or 1.0)
        self.assertEqual(order, (["fast", "slow"] + ["fast"] * 2) * 3)

    def test_summaries(self) -> None:
        self.assertEqual(Summary.of([3.0]), Summary(3.0, 3.0, 3.0, 1))
        self.assertEqual(Summary.of([5.0, 1.0, 2.0, 4.0, 3.0]), Summary(3.0, 2.0, 4.0, 5))


class MeasureTests(unittest.TestCase):
    def test_repeats_follow_the_time_that_there_is(self) -> None:
        timer = CudaTimer(1024, "cpu", FakeCuda())
        fast, slow, slowest = contender("fast"), contender("slow", 0.05), contender("slowest", 0.5)
        found = timing.measure([fast, slow, slowest], timer, 20, 0.1)
        self.assertEqual([one.repeats for one in (fast, slow, slowest)], [20, 3, 1])
        for name, repeats in (("fast", 20), ("slow", 3), ("slowest", 1)):
            counts = {kind: summary.count for kind, summary in found[name].items()}
            self.assertEqual(counts, {"cold": repeats, "warm": repeats, "back_to_back": repeats})

    def test_warming_up_runs_whole_cycles(self) -> None:
        log: list[str] = []
        one = Contender(
            "one", lambda: log.append("run"), lambda: log.append("prepare"), lambda: log.append("finish")
        )
        timing.warm_up(one, Timer())
        self.assertEqual(log, ["prepare", "run", "finish"] * 4)
        self.assertGreater(one.cycle_seconds, 0.0)


if __name__ == "__main__":
    torch.manual_seed(1)
    unittest.main()
