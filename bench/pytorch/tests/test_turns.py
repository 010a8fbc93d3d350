"""Who has a turn when, and which steps count as the same. No test here asserts how long anything takes."""

from __future__ import annotations

import unittest
import unittest.mock

try:
    import torch
except ImportError as error:
    raise unittest.SkipTest("torch is not installed") from error

import agreement
import turns
from agreement import disagreement
from timing import Contender


class Clock:
    """A clock that only moves when something works, in place of time."""

    def __init__(self) -> None:
        self.now = 0.0

    def perf_counter(self) -> float:
        return self.now

    def work(self, seconds: float) -> None:
        self.now += seconds


class TurnsTests(unittest.TestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.log: list[str] = []
        patch = unittest.mock.patch.object(turns, "time", self.clock)
        patch.start()
        self.addCleanup(patch.stop)

    def contender(self, name: str, *seconds: float) -> Contender:
        """Whose runs take so long, one after another, and then all as the last one; preparing takes 1 ms."""
        left = list(seconds)

        def run() -> None:
            self.log.append(name)
            self.clock.work(left.pop(0) if len(left) > 1 else left[0])

        return Contender(name, run, prepare=lambda: self.clock.work(1e-3), cycle_seconds=seconds[-1] + 1e-3)

    def before(self) -> None:
        self.log.append("before")
        self.clock.work(0.5)

    def test_the_first_run_of_a_turn_counts_apart(self) -> None:
        first, step = turns.take_turn(self.contender("one", 0.007, 0.004), self.before)
        self.assertAlmostEqual(first, 0.007)
        self.assertAlmostEqual(step, 0.005)  # a whole cycle
        # 20 ms of steps behind the first one, and what was before it is in neither.
        self.assertEqual(self.log, ["before"] + ["one"] * 5)

    def test_a_long_turn_has_two_runs(self) -> None:
        first, step = turns.take_turn(self.contender("one", 3.0, 2.0), self.before)
        self.assertAlmostEqual(first, 3.0)
        self.assertAlmostEqual(step, 2.001)

    def test_everyone_begins_with_as_many_cycles(self) -> None:
        one, slow = self.contender("one", 0.3, 0.1), self.contender("slow", 9.0, 5.0)
        turns.begin(one)
        turns.begin(slow)
        self.assertEqual(self.log, ["one"] * turns.FIRST_CYCLES + ["slow"] * turns.FIRST_CYCLES)
        self.assertAlmostEqual(one.cycle_seconds, 0.101)

    def test_each_turn_is_behind_the_same_work_and_the_slow_have_fewer(self) -> None:
        fast, slow = self.contender("fast", 0.025), self.contender("slow", 0.999)
        found = turns.measure([fast, slow], self.before, 9, 1.0)
        self.assertEqual((fast.repeats, slow.repeats), (9, 1))
        # fast has a turn more, which does not count.
        turn = ["before", "fast", "fast"]
        self.assertEqual(self.log, turn * 2 + ["before", "slow", "slow"] + turn * 8)
        self.assertEqual(found["fast"]["step"].count, 9)
        self.assertEqual(found["fast"]["first"].count, 9)
        self.assertAlmostEqual(found["fast"]["step"].median, 0.026)
        self.assertAlmostEqual(found["slow"]["first"].median, 0.999)


class AgreementTests(unittest.TestCase):
    def setUp(self) -> None:
        generator = torch.Generator().manual_seed(1)
        self.start = [torch.randn(count, generator=generator) for count in (5, 300, 1)]
        self.ours = [tensor - 1e-2 for tensor in self.start]

    def compare(self, theirs: list[torch.Tensor], dtype: torch.dtype = torch.float32) -> str:
        as_dtype = ([tensor.to(dtype) for tensor in tensors] for tensors in (self.ours, theirs, self.start))
        return disagreement(*as_dtype, steps=3)

    def test_the_same_steps_agree_up_to_rounding(self) -> None:
        for dtype, error in ((torch.float32, 1e-7), (torch.bfloat16, 4e-3)):
            self.assertEqual(self.compare(self.ours, dtype), "")
            self.assertEqual(self.compare([tensor * (1 + error) for tensor in self.ours], dtype), "")

    def test_another_step_is_found(self) -> None:
        theirs = [tensor.clone() for tensor in self.ours]
        for wrong in (1e-5, float("nan")):
            theirs[1][299] = self.ours[1][299] + wrong
            with unittest.mock.patch.object(agreement, "TOGETHER", 4):
                self.assertRegex(self.compare(theirs), "1 of [1-4] parameters differ after 3 steps")
        other = [tensor - 0.2 for tensor in self.start]
        self.assertRegex(self.compare(other, torch.bfloat16), "of 306 parameters differ")

    def test_parameters_that_have_not_moved_are_no_agreement(self) -> None:
        self.ours = self.start
        self.assertEqual(self.compare(self.start), "only 0 of 306 parameters have moved")

    def test_every_element_is_in_one_batch(self) -> None:
        tensors = [torch.arange(5.0), torch.arange(5.0, 7.0), torch.arange(7.0, 8.0)]
        with unittest.mock.patch.object(agreement, "TOGETHER", 3):
            batches = list(agreement.in_batches(tensors))
        self.assertTrue(all(len(batch) <= 3 for batch in batches))
        self.assertEqual(torch.cat(batches).tolist(), list(range(8)))


if __name__ == "__main__":
    unittest.main()
