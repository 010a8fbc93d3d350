"""Tests of kernel_model.py and of what it computes: python3 -m unittest discover -s bench/tests -p '*_test.py'"""

import contextlib
import io
import json
import os
import tempfile
import unittest
from unittest import mock

from sass_support import BUFFER, code, control, machine, np

import kernel_model
from kernel_resources import Kernel
from sass import cost, gpus
from sass.memory import Memory
from sass.snapshot import Snapshot
from sass.timing import Timeline

LARGE = 64  # bytes of a region of elements in these tests
DRAM = 550 * 1.5
TABLE_LATENCY = 210 * 1.5


def timeline(*lines, threads=32, large=LARGE, image=None, size=1 << 16, **options):
    """What a block of one warp costs."""
    observer = Timeline("sm_80", Memory([(BUFFER, size)], np.zeros(size, np.uint8)), large)
    machine(code(*lines, "EXIT"), size=size, threads=threads, observer=observer, image=image, **options).run()
    return observer


# R2 and R3 are the address of the thread's 16 bytes.
OWN_PACK = ["S2R R0, SR_TID.X", "MOV R1, 0x10", "IMAD.WIDE R2, R0, R1, c[0x0][0x160]"]


class TimelineTest(unittest.TestCase):
    def test_loads_that_follow_each_other_are_one_wait(self):
        seen = timeline(*OWN_PACK, ("LDG.E.128 R4, [R2.64]", control(1, write=0)),
                        ("LDG.E.128 R8, [R2.64+0x200]", control(1, write=0)), ("FADD R4, R4, R8", control(4, waits=1)))
        self.assertEqual((seen.rounds, seen.held), (1, 2 * 16 * 32))
        # Three instructions, two loads, the second's result, the sum, EXIT.
        self.assertEqual(seen.now, 3 + 1 + DRAM + 4 + 1)
        self.assertEqual(seen.issued_by_warps, 7)

    def test_a_load_behind_a_use_is_another_wait(self):
        seen = timeline(*OWN_PACK, ("LDG.E.128 R4, [R2.64]", control(1, write=0)), ("FADD R4, R4, R4", control(4, waits=1)),
                        ("LDG.E.128 R8, [R2.64+0x200]", control(1, write=1)), ("FADD R8, R8, R8", control(4, waits=2)))
        self.assertEqual((seen.rounds, seen.held), (2, 2 * 16 * 32))
        self.assertEqual(seen.now, 3 + 2 * (DRAM + 4) + 1)

    def test_the_same_sector_again_is_in_the_cache(self):
        seen = timeline(*OWN_PACK, ("LDG.E.64 R4, [R2.64]", control(1, write=0)), ("FADD R4, R4, R4", control(1, waits=1)),
                        ("LDG.E.64 R8, [R2.64+0x8]", control(1, write=0)), ("FADD R8, R8, R8", control(1, waits=1)))
        self.assertEqual((seen.rounds, seen.now), (1, 3 + DRAM + 1 + 39 + 1 + 1))
        self.assertEqual(len(seen.read), 16)

    def test_tables_are_in_the_second_cache(self):
        seen = timeline(*OWN_PACK, ("LDG.E.64 R4, [R2.64]", control(1, write=0)), ("FADD R4, R4, R4", control(1, waits=1)),
                        large=1 << 20)
        self.assertEqual((seen.rounds, seen.now, len(seen.read)), (0, 3 + TABLE_LATENCY + 1 + 1, 0))

    def test_stores_are_not_waited_for(self):
        seen = timeline(*OWN_PACK, ("STG.E.128 [R2.64], R4", control(2)))
        self.assertEqual((seen.now, len(seen.written), seen.cycles["lsu"]), (3 + 2 + 1, 16, 4 * 32))

    def test_an_access_goes_through_the_pipe_once_for_each_line(self):
        for stride, lines in [(4, 1), (16, 4), (32, 8), (128, 32)]:
            seen = timeline("S2R R0, SR_TID.X", f"MOV R1, {stride:#x}", "IMAD.WIDE R2, R0, R1, c[0x0][0x160]",
                            "LDG.E R4, [R2.64]")
            self.assertEqual(seen.cycles["lsu"], 32 * lines, stride)

    def test_words_of_one_bank_follow_each_other(self):
        for stride, passes in [(4, 1), (8, 2), (128, 32), (0, 1)]:
            seen = timeline("S2R R0, SR_TID.X", f"IMAD R4, R0, {stride:#x}, RZ", "LDS R5, [R4]", shared_bytes=4096)
            self.assertEqual(seen.cycles["lsu"], 32 * passes, stride)

    def test_counts_pipes_and_branches_of_each_warp(self):
        lines = ["S2R R0, SR_TID.X", "ISETP.GE.AND P0, PT, R0, 0x10, PT", "BSSY B0, 0x70", "@P0 BRA 0x60", "FADD R1, R1, R1",
                 "BRA 0x70", "DADD R2, R2, R2", "BSYNC B0", "MUFU.RCP R1, R1"]
        seen = timeline(*lines, threads=64)
        # The first warp goes both ways, and comes to BSYNC twice; the second goes the lower one.
        self.assertEqual(dict(seen.cycles), {"alu": 64, "fma": 32, "fp64": 64, "xu": 64})
        self.assertEqual(seen.issued_by_warps, 11 + 8)


class EstimateTest(unittest.TestCase):
    """Of a GPU with numbers that are easy to divide: 10 bytes a cycle for each of 100 multiprocessors at 1 GHz."""

    GPU = gpus.Gpu("a GPU", "sm_80", 100, 1e9, 1e12)

    def cost(self, **more):
        # 20 bytes of an element take the memory 2 cycles. A warp takes 1,024 cycles for 8 elements of each lane.
        return cost.Cost(**{**dict(instructions=64.0, lanes={"fma": 40.0, "imad": 8.0, "alu": 32.0}, read=12.0, written=8.0,
                                   time=128.0, held=24.0, rounds=1.0), **more})

    def test_littles_law(self):
        result = cost.estimate(self.cost(), self.GPU, 32)
        # 6 bytes a cycle are read, each for 825 cycles; 24 bytes of each of 1,024 threads are on their way.
        self.assertAlmostEqual(result.needed, 6 * 825)
        self.assertEqual(result.held, 24 * 1024)
        # 32 warps of 32 lanes, each 128 cycles for an element: 8 elements a cycle, of which the memory takes half.
        self.assertAlmostEqual(result.latency, 16.0)
        self.assertAlmostEqual(cost.estimate(self.cost(), self.GPU, 1).latency, 0.5)

    def test_the_busiest_pipe_limits(self):
        # 64 instructions of a warp: half a cycle of four schedulers. 48 products and sums: 0.75 of a cycle of 64 lanes.
        result = cost.estimate(self.cost(), self.GPU, 32)
        self.assertEqual((result.pipe, result.issue, result.reach), ("fma", 2 / 0.75, 1.0))
        result = cost.estimate(self.cost(instructions=512.0), self.GPU, 32)
        self.assertEqual((result.pipe, result.issue, result.reach), ("issue", 0.5, 0.5))
        result = cost.estimate(self.cost(lanes={"xu": 40.0}), self.GPU, 32)
        self.assertEqual((result.pipe, result.issue), ("xu", 0.8))

    def test_facts_of_the_gpus(self):
        for name, bytes_per_cycle in [("A100 80GB", 13.39), ("H100 SXM", 12.82), ("H200", 18.37)]:
            gpu = next(gpu for gpu in gpus.GPUS if gpu.name == name)
            self.assertAlmostEqual(gpu.bytes_per_cycle, bytes_per_cycle, 2)

    def test_blocks_of_fewer_threads(self):
        self.assertEqual(Kernel("sm_80", "", "", 81, 0, 0, 0).blocks(4), 5)  # 20 warps; blocks of 8 warps hold 16


class MeasureTest(unittest.TestCase):
    """A block goes over pieces of 1,024 words, a grid apart, and adds 1 to each; it begins with 10 other instructions."""

    LINES = [
        *["MOV R10, RZ"] * 10,
        "S2R R0, SR_TID.X",
        "S2R R1, SR_CTAID.X",
        "LEA R0, R1, R0, 0x8",
        "MOV R1, 0x4",
        "IMAD.WIDE R2, R0, R1, c[0x0][0x160]",  # 0xe0
        "LDG.E R4, [R2.64]",
        "IADD3 R4, R4, 0x1, RZ",
        "STG.E [R2.64], R4",
        "MOV R5, c[0x0][0xc]",
        "LEA R0, R5, R0, 0x8",
        "ISETP.LT.AND P0, PT, R0, 0x4000, PT",
        "@P0 BRA 0xe0",
        "EXIT",
    ]
    ELEMENTS = 0x4000

    def snapshot(self, wrong_at=None):
        before = np.arange(self.ELEMENTS, dtype=np.uint32)
        after = before + np.uint32(1)
        if wrong_at is not None:
            after[wrong_at] = 0
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "launch")
            with open(path + ".json", "w", encoding="utf-8") as file:
                json.dump({"kernel": "kernel", "blocks": 16, "threads": 256,
                           "parameters": BUFFER.to_bytes(8, "little").hex(), "variables": {},
                           "memory": [[BUFFER, 4 * self.ELEMENTS]]}, file)
            np.concatenate([before, after]).tofile(path + ".bin")
            return Snapshot(path)

    def test_costs_are_those_of_more_elements(self):
        measured, wrong = cost.measure(code(*self.LINES), self.snapshot(), self.ELEMENTS)
        self.assertEqual(wrong, 0)
        self.assertEqual((measured.instructions, measured.read, measured.written), (8, 4, 4))
        self.assertEqual(measured.lanes, {"alu": 4, "imad": 1, "lsu": 2})

    def test_bytes_that_differ_are_found(self):
        measured, wrong = cost.measure(code(*self.LINES), self.snapshot(wrong_at=5), self.ELEMENTS)
        self.assertEqual(wrong, 2)  # 6 instead of 0, in both runs

    def test_bytes_that_are_not_written_are_found(self):
        lines = ["@!PT " + line if line.startswith("STG") else line for line in self.LINES]
        _, wrong = cost.measure(code(*lines), self.snapshot(), self.ELEMENTS)
        self.assertEqual(wrong, 2 * 4 * self.ELEMENTS)


class CommandTest(unittest.TestCase):
    """The whole command, with rows as they would be measured."""

    def row(self, instructions=50.0, held=64.0, wrong=0):
        own = cost.Cost(instructions, {"fma": 30.0}, 16.0, 12.0, 100.0, held, 2.0)
        return kernel_model.Row("adam", "update<Adam, 0>", "sm_90", 61, 32, own, wrong)

    def run_main(self, row, *arguments, known=None, compiler="11.8.89"):
        out, err = io.StringIO(), io.StringIO()
        with tempfile.TemporaryDirectory() as folder:
            table = os.path.join(folder, "kernels.json")
            if known is not None:
                with open(table, "w", encoding="utf-8") as file:
                    json.dump(known, file)
            program = os.path.join(folder, "program")
            with open(program, "w", encoding="utf-8") as file:
                file.write(f"#!/bin/sh\nif [ $1 = --rules ]; then echo adam; else echo 'GNU 12; cuda: {compiler}'; fi\n")
            os.chmod(program, 0o755)
            with mock.patch.object(kernel_model, "measure_all", return_value=[row]), contextlib.redirect_stdout(out), \
                    contextlib.redirect_stderr(err):
                status = kernel_model.main([program, "--snapshots", program,
                                            *(table if argument == "TABLE" else argument for argument in arguments)])
            with contextlib.suppress(FileNotFoundError), open(table, encoding="utf-8") as file:
                known = json.load(file)
        return status, out.getvalue(), err.getvalue(), known

    KNOWN = {"compiler": "nvcc 11.8",
             "kernels": {"sm_90": {"adam: update<Adam, 0>": {"instructions": 50.0, "bytes_in_flight": 65536}}}}

    def test_prints_a_table_for_each_gpu_of_the_architecture(self):
        status, out, err, _ = self.run_main(self.row(), "--markdown")
        self.assertEqual((status, err), (0, ""))
        self.assertNotIn("A100", out)
        for title in ["### H100 SXM: 132 multiprocessors", "### H200: 132 multiprocessors, 1.98 GHz, 4.8 TB/s, sm_90"]:
            self.assertIn(title, out)
        self.assertIn("| adam: update<Adam, 0> | 61 | 32 | 50.0 | 16.0 + 12.0 | 64 | 2.0 | 10.8 / 64.0 |", out)

    def test_writes_no_table_of_wrong_bytes(self):
        status, _, error, written = self.run_main(self.row(wrong=3), "--write", "TABLE")
        self.assertEqual((status, written), (1, None))
        self.assertIn("3 bytes", error)

    def test_writes_what_it_checks(self):
        status, _, _, written = self.run_main(self.row(), "--write", "TABLE")
        self.assertEqual((status, written), (0, self.KNOWN))

    def test_a_little_more_is_no_fault(self):
        self.assertEqual(self.run_main(self.row(instructions=52.4), "--check", "TABLE", known=self.KNOWN)[::2], (0, ""))

    def test_more_instructions_fail_and_name_the_kernel(self):
        status, _, err, _ = self.run_main(self.row(instructions=52.6), "--check", "TABLE", known=self.KNOWN)
        self.assertEqual((status, err), (1, "FAIL sm_90: adam: update<Adam, 0> takes 52.6 instructions for an element, and "
                                            "50.0 in the table\n"))

    def test_fewer_bytes_in_flight_fail(self):
        status, _, err, _ = self.run_main(self.row(held=56.0), "--check", "TABLE", known=self.KNOWN)
        self.assertEqual(status, 1)
        self.assertIn("has 57344 bytes of loads in flight on a multiprocessor, and 65536 in the table", err)

    def test_a_kernel_that_the_table_lacks_fails(self):
        known = {"compiler": "nvcc 11.8", "kernels": {}}
        status, _, err, _ = self.run_main(self.row(), "--check", "TABLE", known=known)
        self.assertEqual(status, 1)
        self.assertIn("is not in the table; write it anew (--write)", err)

    def test_a_table_of_another_compiler_is_not_compared(self):
        status, out, _, _ = self.run_main(self.row(instructions=99.0), "--check", "TABLE", known=self.KNOWN,
                                          compiler="12.4.131")
        self.assertEqual(status, 0)
        self.assertIn("SKIPPED: the table is of nvcc 11.8, and this library of nvcc 12.4", out)

    def test_other_bytes_fail_without_a_table(self):
        status, _, err, _ = self.run_main(self.row(wrong=3))
        self.assertEqual((status, err),
                         (1, "FAIL sm_90: adam: update<Adam, 0> leaves 3 bytes that are not those of its PTX\n"))

    def test_a_file_that_is_missing_is_named_with_its_target(self):
        err = io.StringIO()
        with contextlib.redirect_stderr(err):
            status = kernel_model.main(["/nowhere/native/libnativeopt.so"])
        self.assertEqual(status, 2)
        self.assertIn("/nowhere/native/libnativeopt.so: no such file; build the target nativeopt", err.getvalue())

    def test_an_architecture_that_is_not_modelled_is_refused(self):
        status, _, err, _ = self.run_main(self.row(), "--arch", "sm_75")
        self.assertEqual(status, 2)
        self.assertIn("--arch: sm_75 is not modelled; sm_80, sm_90 are", err)


class KindsTest(unittest.TestCase):
    def test_some_are_among_all(self):
        rules = ["adam", "dualadam", "lion", "adan", "sgd"]
        self.assertLessEqual(set(kernel_model.some_kinds(rules)), set(kernel_model.all_kinds(rules)))


if __name__ == "__main__":
    unittest.main()
