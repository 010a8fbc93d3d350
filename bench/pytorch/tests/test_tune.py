"""tune.py on the CPU, where it tries itself out."""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

try:
    import torch  # noqa: F401
except ImportError as error:
    raise unittest.SkipTest("torch is not installed") from error

SCRIPT = pathlib.Path(__file__).parents[1] / "tune.py"
LIBRARY = os.environ.get("NATIVEOPT_LIBRARY")


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(SCRIPT), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=600)


class TuneTests(unittest.TestCase):
    @unittest.skipUnless(LIBRARY, "NATIVEOPT_LIBRARY is not set")
    def test_builds_are_timed_beside_each_other(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            page = pathlib.Path(folder) / "tuning.md"
            options = ["--device", "cpu", "--shapes", "3x500,2x64", "--rules", "adamw,adamw_dynamic8"]
            result = run(f"first={LIBRARY}", f"second={LIBRARY}", *options, "--seconds", "0.01", "--out", str(page))
            self.assertEqual(result.returncode, 0, result.stdout + result.stderr)
            self.assertEqual(page.read_text(encoding="utf-8"), result.stdout)
        rows = [line.split(" | ") for line in result.stdout.splitlines() if line.startswith("| adamw")]
        self.assertEqual([row[0] for row in rows], ["| adamw", "| adamw_dynamic8"] * 2)
        for row in rows:
            self.assertGreater(float(row[2]), 0.0)
            self.assertRegex(row[3], r"^[0-9.e-]+ \([+-][0-9.]+%\) \|$")

    @unittest.skipUnless(LIBRARY, "NATIVEOPT_LIBRARY is not set")
    def test_a_build_that_cannot_be_loaded(self) -> None:
        result = run(f"first={LIBRARY}", "second=/nowhere/libnativeopt.so", "--device", "cpu")
        self.assertEqual(result.returncode, 2)
        self.assertIn("/nowhere/libnativeopt.so", result.stderr)

    def test_bad_arguments(self) -> None:
        for arguments, text in (
            (["one"], "give each as NAME=PATH"),
            (["a=1", "a=2"], "a name of its own"),
            (["a=1", "--rules", "none"], "'none' is no rule"),
            (["a=1", "--shapes", "none"], "'none' is no shape"),
            (["a=1", "--seconds", "0"], "must be more than 0"),
        ):
            result = run(*arguments)
            self.assertEqual(result.returncode, 2)
            self.assertIn(text, result.stderr)


if __name__ == "__main__":
    unittest.main()
