"""Ratios, bars and the files, without torch."""

from __future__ import annotations

import json
import pathlib
import tempfile
import unittest
from typing import Any

import report
import shapes


def times(seconds: float) -> dict[str, Any]:
    return {
        kind: {"median": seconds * factor, "q1": seconds, "q3": seconds, "count": 3}
        for kind, factor in (("cold", 1.0), ("warm", 0.5), ("back_to_back", 2.0))
    }


def item(rule: str, shape: str, elements: int, ours: float, **others: float) -> dict[str, Any]:
    found = {
        "shape": shape,
        "tensors": 1,
        "elements": elements,
        "rule": rule,
        "note": "",
        "bytes_per_element": 28,
        "left_out": {"loop": "no time"},
        "times": {report.OURS: times(ours), **{name: times(seconds) for name, seconds in others.items()}},
        "host_seconds": {},
        "host_bound": [],
    }
    report.derive(found, 1_000_000_000)
    return found


def results(items: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "environment": {"device": "a device"},
        "items": items,
        "host": [{"call": "step", "tensors": 148, "time": times(1e-5)["cold"]}],
        "bars": [report.judge(bar, items, True) for bar in report.BARS],
        "stopped": "",
    }


class ReportTests(unittest.TestCase):
    def test_ratios(self) -> None:
        # 2.8 GB in 2 ms beside a copy of 1 GB in 0.5 ms.
        found = item("adam", "1x1", 100_000_000, 2e-3, copy=0.5e-3, fused=3e-3)
        self.assertAlmostEqual(found["bytes_per_second"], 1.4e12)
        self.assertAlmostEqual(found["copy_bytes_per_second"], 2e12)
        self.assertAlmostEqual(found["of_copy"], 0.7)
        self.assertAlmostEqual(found["speedup"]["fused"]["cold"], 1.5)
        self.assertNotIn("foreach", found["speedup"])

    def test_a_bar_takes_the_worst(self) -> None:
        bar = report.Bar("a bar", 0.9, ("adam", "adamw"), min_elements=100)
        good = item("adam", "a", 100, 28e-9, copy=10e-3)  # 1e11 bytes/s of each
        bad = item("adamw", "b", 100, 40e-9, copy=10e-3)
        other = item("sgd", "b", 100, 80e-9, copy=10e-3)
        small = item("adam", "c", 99, 80e-9, copy=10e-3)
        met = report.judge(bar, [good, other, small], True)
        self.assertEqual((met["verdict"], met["of"]), ("met", 1))
        missed = report.judge(bar, [good, bad, other, small], True)
        self.assertEqual((missed["verdict"], missed["where"], missed["of"]), ("not met", "adamw on b", 2))
        self.assertAlmostEqual(missed["worst"], 0.7)
        self.assertEqual(report.judge(bar, [other, small], True)["verdict"], "not measured")
        self.assertEqual(report.judge(bar, [good], False)["verdict"], "not measured")

    def test_a_bar_on_a_peer(self) -> None:
        bar = report.Bar("a bar", 1.5, ("adamw",), ("10000x64",), peer="fused", kind="back_to_back")
        self.assertEqual(
            report.judge(bar, [item("adamw", "10000x64", 640_000, 1.0, fused=1.5)], True)["verdict"], "met"
        )
        self.assertEqual(
            report.judge(bar, [item("adamw", "10000x64", 640_000, 1.0, fused=1.4)], True)["verdict"],
            "not met",
        )
        without = item("adamw", "10000x64", 640_000, 1.0, foreach=9.0)
        self.assertEqual(report.judge(bar, [without], True)["verdict"], "not measured")

    def test_the_bars_name_rules_shapes_and_peers_that_there_are(self) -> None:
        for bar in report.BARS:
            for shape in bar.shapes:
                self.assertIn(shape, shapes.FULL)
            self.assertIn(bar.peer, ("", *report.PEERS))

    def test_the_page(self) -> None:
        items = [item("adam", "1x1", 100_000_000, 2e-3, copy=0.5e-3, fused=3e-3)]
        items[0]["host_bound"] = ["fused"]
        page = report.markdown(results(items))
        self.assertIn("| adam | 2.00 | 2.00 to 2.00 | 1.00 | 1,400 | 0.70 | 3.00* (1.50×) | – |", page)
        self.assertIn("| adam | 4.00 | 6.00 (1.50×) | – |", page)
        self.assertIn("- loop: no time (adam)", page)
        self.assertIn("2,000 to 2,000 GB/s", page)
        self.assertIn("not met: Adam family", page)
        self.assertIn("the time is the host's", page)

    def test_a_failed_item_and_a_stopped_run_show(self) -> None:
        failed = item("adam", "1x1", 1, 1.0)
        del failed["times"][report.OURS]
        failed["left_out"][report.OURS] = "NativeOptError: no device"
        found = results([failed])
        found["stopped"] = "interrupted"
        page = report.markdown(found)
        self.assertIn("| adam | failed |", page)
        self.assertIn("- nativeopt: NativeOptError: no device (adam)", page)
        self.assertIn("**Not complete**: interrupted.", page)

    def test_the_files(self) -> None:
        found = results([item("adam", "1x1", 100, 2e-3, copy=1e-3)])
        with tempfile.TemporaryDirectory() as name:
            folder = pathlib.Path(name)
            report.write(found, report.markdown(found), folder)
            self.assertEqual(json.loads((folder / "results.json").read_text(encoding="utf-8")), found)
            self.assertEqual((folder / "results.md").read_text(encoding="utf-8"), report.markdown(found))
            self.assertEqual(len(list(folder.iterdir())), 2)


class ShapeTests(unittest.TestCase):
    def test_named_shapes_have_their_models_parameters(self) -> None:
        for name, tensors, elements in (
            ("gpt2-124m", 148, 124_439_808),
            ("resnet50", 161, 25_557_032),
            ("10000x64", 10_000, 640_000),
        ):
            shape = shapes.parse(name)
            self.assertEqual((len(shape.counts), shape.elements), (tensors, elements))

    def test_what_is_no_shape(self) -> None:
        for name in ("", "gpt3", "0x5", "5x0", "5x", "-1x5", "1x2x3"):
            with self.assertRaises(ValueError):
                shapes.parse(name)


if __name__ == "__main__":
    unittest.main()
