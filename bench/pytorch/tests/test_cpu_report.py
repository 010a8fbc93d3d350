"""The pages of the CPU, without torch."""

from __future__ import annotations

import unittest
from typing import Any

import cpu
import cpu_report
import report


def times(seconds: float, count: int = 3) -> dict[str, Any]:
    return {
        kind: {"median": factor * seconds, "q1": factor * seconds * 0.9, "q3": factor * seconds * 1.1, "count": count}
        for kind, factor in (("step", 1.0), ("first", 2.0))
    }


def item(rule: str, shape: str, dtype: str, **of_each: dict[str, Any]) -> dict[str, Any]:
    found = {
        "shape": shape,
        "tensors": 2,
        "elements": 1_000_000,
        "rule": rule,
        "dtype": dtype,
        "note": "with a note" if dtype == "bfloat16" else "",
        "bytes_per_element": 28,
        "left_out": {"loop": "no time"} if dtype == "float32" else {},
        "times": of_each,
    }
    report.derive(found, 0)
    return found


def results(*items: dict[str, Any], stopped: str = "") -> dict[str, Any]:
    return {"environment": {"device": "a processor"}, "items": list(items), "stopped": stopped}


class CpuReportTests(unittest.TestCase):
    def test_the_page(self) -> None:
        first = item(
            "adam", "2x500000", "float32", nativeopt=times(2e-3), nativeopt_bound=times(1e-3), fused=times(3e-3)
        )
        second = item("adam_bfloat16", "gpt2-124m", "bfloat16", nativeopt=times(1e-3), fused=times(0.5, 1))
        page = cpu_report.markdown(results(first, second))
        self.assertIn("- device: a processor", page)
        self.assertIn(
            "| 2 × 500,000, adam | 2.00 (1.80 to 2.20) | 1.00 (0.900 to 1.10) | 14.0 "
            "| 3.00 (2.70 to 3.30) | 1.50× | – |  |",
            page,
        )
        self.assertIn("| 2 × 500,000, adam | 4.00 (3.60 to 4.40) | 6.00 (5.40 to 6.60) | 1.50× |", page)
        self.assertIn("- loop: no time (adam on 2x500000)", page)
        # No quartiles of one turn.
        self.assertIn("| gpt2-124m, adam_bfloat16 | 1.00 (0.900 to 1.10) |  | 28.0 | 500 | 500× |", page)
        self.assertIn("- adam_bfloat16: with a note", page)

    def test_a_failed_item_and_a_stopped_run_show(self) -> None:
        failed = item("adam", "2x500000", "float32", fused=times(3e-3))
        failed["left_out"]["nativeopt"] = "out of memory"
        page = cpu_report.markdown(results(failed, stopped="interrupted"))
        self.assertIn("| 2 × 500,000, adam | failed |  |  | 3.00 (2.70 to 3.30) |  | – |  |", page)
        self.assertIn("- nativeopt: out of memory (adam on 2x500000)", page)
        self.assertIn("**Not complete**: interrupted.", page)

    def test_the_page_of_several_ways_of_waiting(self) -> None:
        both = {"nativeopt": times(2e-3), "fused": times(3e-3)}
        runs = {
            cpu.DEFAULT: results(
                item("adam", "2x500000", "float32", **both), item("sgd", "2x500000", "float32", **both)
            ),
            "OMP_WAIT_POLICY=passive": results(
                item("adam", "2x500000", "float32", **(both | {"fused": times(8e-3)})), stopped="interrupted"
            ),
        }
        page = cpu.page(runs)
        row = "| 2 × 500,000, adam | {} | 2.00 (1.80 to 2.20) | {} | 4.00 (3.60 to 4.40) | {} |"
        default = row.format("default", "3.00 (2.70 to 3.30) | 1.50×", "6.00 (5.40 to 6.60) | 1.50×")
        passive = row.format("OMP_WAIT_POLICY=passive", "8.00 (7.20 to 8.80) | 4.00×", "16.0 (14.4 to 17.6) | 4.00×")
        self.assertIn(f"{default}\n{passive}\n", page)
        self.assertNotIn("sgd | default", page)  # it was not measured in other ways
        self.assertIn("**Not complete**: interrupted.", page)

    def test_the_rules_and_shapes_are_there(self) -> None:
        self.assertLessEqual(set(cpu.RULES_OF_WAITING.split(",")), set(cpu.RULES.split(",")))
        self.assertLessEqual(set(cpu.SHAPES_OF_WAITING.split(",")), set(cpu.SHAPES.split(",")))


if __name__ == "__main__":
    unittest.main()
