"""Tests of instructions.py: python3 -m unittest discover -s bench/tests -p '*_test.py'"""

import contextlib
import io
import json
import os
import stat
import sys
import tempfile
import unittest
from unittest import mock

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
import instructions

# A program whose runs take 1,000,000 instructions and 3 for each step and element.
INFO = "GCC 12.2.0; cpu: baseline x86-64-v3\nbaseline supported\nx86-64-v3 unsupported\nx86-64-v4 supported\n"


def fake_count(per_element):
    return lambda program, isa, kind, shape, steps: 1_000_000 + round(per_element * steps * instructions.elements(shape))


class InstructionsTest(unittest.TestCase):
    def run_main(self, *arguments, per_element=3.0):
        with tempfile.TemporaryDirectory() as folder:
            program = os.path.join(folder, "program")
            with open(program, "w", encoding="utf-8") as file:
                file.write(f"#!/bin/sh\nprintf '%s' '{INFO}'\n")
            os.chmod(program, os.stat(program).st_mode | stat.S_IXUSR)
            out, err = io.StringIO(), io.StringIO()
            with mock.patch.object(instructions, "count", fake_count(per_element)), \
                    mock.patch.object(instructions.shutil, "which", lambda name: name), \
                    contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
                status = instructions.main([program, *arguments])
            return status, out.getvalue(), err.getvalue()

    def table(self, per_element, compiler="GCC 12"):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        path = os.path.join(folder.name, "table.json")
        names = [f"{kind} {shape}" for kind, shape in instructions.CASES]
        with open(path, "w", encoding="utf-8") as file:
            json.dump({"compiler": compiler,
                       "instructions_per_element": {"baseline": dict.fromkeys(names, per_element)}}, file)
        return path

    def test_only_what_a_step_adds_is_counted(self):
        with mock.patch.object(instructions, "count", fake_count(3.0)):
            for kind, shape in instructions.CASES:
                self.assertAlmostEqual(3.0, instructions.instructions_per_element("", "", kind, shape), places=2)

    def test_equal_numbers_pass_and_the_instruction_sets_that_cannot_be_counted_are_left_out(self):
        status, out, _ = self.run_main("--table", self.table(3.0))
        self.assertEqual(0, status)
        self.assertIn("no number above the table's", out)
        self.assertNotIn("x86-64", out)

    def test_more_than_5_percent_fails_and_is_named(self):
        status, _, err = self.run_main("--table", self.table(3.0), per_element=3.2)
        self.assertEqual(1, status)
        self.assertIn("baseline: adam 1x16384 takes 3.200 instructions an element, 6.7% more than 3.000", err)
        self.assertEqual(0, self.run_main("--table", self.table(3.0), per_element=3.1)[0])

    def test_a_case_that_the_table_lacks_fails(self):
        found = instructions.faults({"baseline": {}}, {"baseline": {"adam 1x1": 3.0}})
        self.assertEqual(["baseline: adam 1x1 is not in the table; write it anew (--write)"], found)

    def test_another_compilers_table_is_no_failure_and_says_so(self):
        status, out, _ = self.run_main("--table", self.table(3.0, compiler="Clang 19"), per_element=99.0)
        self.assertEqual(0, status)
        self.assertIn("SKIPPED: the table is of Clang 19, and this library of GCC 12", out)

    def test_a_table_that_was_written_passes(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "table.json")
            self.assertEqual(0, self.run_main("--write", "--table", path)[0])
            self.assertEqual(0, self.run_main("--table", path)[0])
            self.assertEqual(1, self.run_main("--table", path, per_element=3.3)[0])

    def test_a_measurement_that_fails_leaves_the_old_table(self):
        path = self.table(3.0)
        with mock.patch.object(instructions, "measure", side_effect=instructions.Unreadable("no count")):
            self.assertEqual(2, self.run_main("--write", "--table", path)[0])
        self.assertEqual(0, self.run_main("--table", path)[0])

    def test_what_is_missing_is_named(self):
        err = io.StringIO()
        with mock.patch.object(instructions.shutil, "which", lambda name: name), contextlib.redirect_stderr(err):
            self.assertEqual(2, instructions.main(["/nowhere/program"]))
        self.assertIn("/nowhere/program: no such file; build it", err.getvalue())
        with mock.patch.object(instructions.shutil, "which", lambda name: None), contextlib.redirect_stderr(err):
            self.assertEqual(2, instructions.main(["/nowhere/program"]))
        self.assertIn("valgrind was not found", err.getvalue())


if __name__ == "__main__":
    unittest.main()
