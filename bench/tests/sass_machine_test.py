"""Tests of the interpreter of SASS: python3 -m unittest discover -s bench/tests -p '*_test.py'"""

import struct
import unittest

from sass_support import BUFFER, OWN_ADDRESS, code, machine, np, run, words

from sass.arithmetic import fma64, to_bfloat16
from sass.machine import Stuck
from sass.memory import Fault
from sass.operands import Unknown

STORE = "STG.E [R2.64], R9"


def bits(value):
    return struct.unpack("<I", struct.pack("<f", value))[0]


def result_of(*lines):
    """R9 of each lane, as the lines leave it."""
    return words(run(*OWN_ADDRESS, *lines, STORE))


def one_result_of(*lines):
    results = set(result_of(*lines))
    assert len(results) == 1, results
    return results.pop()


class IntegerTest(unittest.TestCase):
    def test_sums_carry_over_64_bits(self):
        lines = ["MOV R4, 0xffffffff", "IADD3 R5, P0, R4, 0x1, RZ", "IADD3.X R9, RZ, 0x7, RZ, P0, !PT"]
        self.assertEqual(one_result_of(*lines), 8)
        # -x is ~x + 1, of which the carry counts: 5 - 3 does not borrow, 3 - 5 does.
        for a, b, high in [(5, 3, 0), (3, 5, 0xFFFFFFFF), (4, 0, 0)]:
            lines = [f"MOV R4, {a:#x}", f"MOV R5, {b:#x}", "IADD3 R6, P0, R4, -R5, RZ",
                     "IADD3.X R9, RZ, ~RZ, RZ, P0, !PT"]
            self.assertEqual(one_result_of(*lines), high)

    def test_three_summands_may_carry_twice(self):
        lines = ["MOV R4, 0xffffffff", "IADD3 R5, P0, P1, R4, R4, R4", "IADD3.X R9, RZ, RZ, RZ, P0, P1"]
        self.assertEqual(one_result_of(*lines), 2)

    def test_products(self):
        self.assertEqual(one_result_of("MOV R4, 0xfffffffe", "MOV R6, 0x5", "MOV R7, RZ", "IMAD.WIDE R10, R4, 0x3, R6",
                                       "MOV R9, R10"), 0xFFFFFFFF)  # -6 + 5
        self.assertEqual(one_result_of("MOV R4, 0xfffffffe", "IMAD.WIDE.U32 R10, R4, 0x3, RZ", "MOV R9, R11"), 2)
        self.assertEqual(one_result_of("MOV R4, 0x80000001", "IMAD.HI.U32 R9, R4, 0x4, RZ"), 2)
        self.assertEqual(one_result_of("MOV R4, 0x7", "IMAD.SHL.U32 R9, R4, 0x10, RZ"), 0x70)

    def test_shifts(self):
        self.assertEqual(one_result_of("MOV R4, 0x80000000", "SHF.R.S32.HI R9, RZ, 0x1f, R4"), 0xFFFFFFFF)
        self.assertEqual(one_result_of("MOV R4, 0x80000000", "SHF.R.U32.HI R9, RZ, 0x1f, R4"), 1)
        self.assertEqual(one_result_of("MOV R4, 0x1", "SHF.R.U64 R9, RZ, 0x1, R4"), 0x80000000)
        self.assertEqual(one_result_of("MOV R4, 0x80000000", "SHF.L.U64.HI R9, R4, 0x2, RZ"), 2)
        self.assertEqual(one_result_of("MOV R4, 0x1", "SHF.L.U32 R9, R4, 0x20, RZ"), 0)

    def test_scaled_sums(self):
        self.assertEqual(one_result_of("MOV R4, 0x5", "LEA R9, R4, 0x3, 0x4"), 0x53)
        self.assertEqual(one_result_of("MOV R4, 0xffffffff", "LEA.HI R9, R4, 0x20, RZ, 0x5"), 0x20 + 0x1F)
        self.assertEqual(one_result_of("MOV R4, 0xf0000000", "LEA R5, P0, R4, 0x0, 0x2",
                                       "LEA.HI.X R9, R4, 0x1, RZ, 0x2, P0"),
                         1 + 3)

    def test_logic_follows_its_table(self):
        self.assertEqual(one_result_of("MOV R4, 0xff00", "LOP3.LUT R9, R4, 0x0ff0, RZ, 0xc0, !PT"), 0x0F00)
        self.assertEqual(one_result_of("MOV R4, 0xff00", "LOP3.LUT R9, R4, 0x0ff0, RZ, 0x3c, !PT"), 0xF0F0)
        self.assertEqual(one_result_of("MOV R4, 0xff00", "LOP3.LUT P0, RZ, R4, 0xff, RZ, 0xc0, !PT",
                                       "SEL R9, R4, 0x1, P0"), 1)

    def test_predicates(self):
        self.assertEqual(one_result_of("PLOP3.LUT P0, P1, PT, PT, PT, 0x80, 0x7f", "P2R R9, PR, RZ, 0x7f"), 1)
        self.assertEqual(one_result_of("MOV R4, 0x500", "R2P PR, R4.B1, 0x7f", "P2R R9, PR, RZ, 0x7f"), 5)

    def test_bytes_are_permuted(self):
        self.assertEqual(one_result_of("MOV R4, 0x33221180", "MOV R5, 0x77665544", "PRMT R9, R4, 0x8740, R5"), 0xFF774480)

    def test_comparisons_of_64_bits(self):
        for low, high, expected in [(4, 1, 0), (5, 1, 1), (0, 2, 1), (9, 0, 0)]:
            lines = [f"MOV R4, {low:#x}", f"MOV R5, {high:#x}", "ISETP.GE.U32.AND P0, PT, R4, 0x5, PT",
                     "ISETP.GE.AND.EX P0, PT, R5, 0x1, PT, P0", "SEL R9, RZ, 0x1, !P0"]
            self.assertEqual(one_result_of(*lines), expected, (low, high))

    def test_least_and_largest(self):
        self.assertEqual(one_result_of("MOV R4, 0xffffffff", "IMNMX R9, R4, 0x5, PT"), 0xFFFFFFFF)
        self.assertEqual(one_result_of("MOV R4, 0xffffffff", "IMNMX.U32 R9, R4, 0x5, PT"), 5)
        self.assertEqual(one_result_of("MOV R4, 0xffffffff", "VIMNMX R9, R4, 0x5, !PT"), 5)


    def test_bits_are_counted_and_found(self):
        self.assertEqual(one_result_of("MOV R4, 0xf00f0001", "POPC R9, R4"), 9)
        for value, place in [(0x80000000, 31), (1, 0), (0xFFFFFFFF, 31), (0, 0xFFFFFFFF)]:
            self.assertEqual(one_result_of(f"MOV R4, {value:#x}", "FLO.U32 R9, R4"), place)


class FloatTest(unittest.TestCase):
    def test_a_fused_product_rounds_once(self):
        # (1 + 2^-12)^2 = 1 + 2^-11 + 2^-24: half of the last place, which 2^-60 decides. In double it would be a tie.
        one = bits(1 + 2**-12)
        lines = [f"MOV R4, {one:#x}", f"MOV R5, {bits(2**-60):#x}", "FFMA R9, R4, R4, R5"]
        self.assertEqual(one_result_of(*lines), bits(1 + 2**-11 + 2**-23))
        self.assertEqual(one_result_of(lines[0], f"MOV R5, {bits(-2**-60):#x}", lines[2]), bits(1 + 2**-11))

    def test_rounding_that_is_directed(self):
        third = bits(1 / 3)
        results = [one_result_of(f"MOV R4, {third:#x}", f"FFMA.{mode} R9, R4, R4, RZ") for mode in ("RM", "RP", "RZ")]
        self.assertEqual(results, [results[0], results[0] + 1, results[0]])

    def test_a_fused_product_of_doubles(self):
        one = np.array([1 + 2**-27])
        self.assertEqual(fma64(one, one, np.array([-1.0 - 2**-26]))[0], 2**-54)

    def test_nans_are_one(self):
        self.assertEqual(one_result_of("MOV R4, 0x7fc12345", "FADD R9, R4, R4"), 0x7FFFFFFF)

    def test_comparisons_with_nans(self):
        for kind, expected in [("GE", 0), ("GEU", 1), ("NEU", 1), ("EQ", 0)]:
            self.assertEqual(one_result_of("MOV R4, 0x7fffffff", f"FSETP.{kind}.AND P0, PT, R4, 1, PT",
                                           "SEL R9, RZ, 0x1, !P0"), expected, kind)

    def test_least_and_largest(self):
        for operands, expected in [("R4, |R5|, !PT", 3.0), ("R4, R5, PT", -3.0), ("R4, +QNAN, PT", 2.0)]:
            self.assertEqual(one_result_of(f"MOV R4, {bits(2.0):#x}", f"MOV R5, {bits(-3.0):#x}", f"FMNMX R9, {operands}"),
                             bits(expected), operands)
        nan = bits(float("nan"))
        self.assertEqual(one_result_of(f"MOV R4, {nan:#x}", f"MOV R5, {bits(-3.0):#x}", "FMNMX R9, R4, |R5|, !PT"), bits(3.0))
        self.assertEqual(one_result_of(f"MOV R4, {nan:#x}", f"MOV R5, {bits(-3.0):#x}", "FMNMX.NAN R9, R4, |R5|, !PT"), 0x7FFFFFFF)
        self.assertEqual(one_result_of(f"MOV R4, {bits(2.0):#x}", f"MOV R5, {bits(-3.0):#x}", "FMNMX.NAN R9, R4, |R5|, !PT"), bits(3.0))

    def test_signs(self):
        self.assertEqual(one_result_of(f"MOV R4, {bits(-3.0):#x}", "FADD R9, -|R4|, -1"), bits(-4.0))

    def test_conversions(self):
        self.assertEqual(one_result_of(f"MOV R4, {bits(1.5):#x}", f"MOV R5, {bits(-2.0):#x}",
                                       "F2FP.BF16.PACK_AB R9, R4, R5"), 0x3FC0C000)
        self.assertEqual(one_result_of("MOV R4, 0x3e00c000", "HADD2.F32 R9, -RZ, R4.H1_H1"), bits(1.5))
        self.assertEqual(one_result_of(f"MOV R4, {bits(-2.75):#x}", "F2I.TRUNC.NTZ R9, R4"), 0xFFFFFFFE)
        self.assertEqual(one_result_of(f"MOV R4, {bits(3e9):#x}", "F2I.TRUNC.NTZ R9, R4"), 0x7FFFFFFF)
        self.assertEqual(one_result_of(f"MOV R4, {bits(1.1):#x}", "F2F.F64.F32 R6, R4", "DADD R6, R6, 1",
                                       "F2F.F32.F64 R9, R6"),
                         bits(struct.unpack("<f", struct.pack("<f", 1.1))[0] + 1))

    def test_halves_round_to_even(self):
        values = np.array([1 + 2**-8, 1 + 3 * 2**-8], np.float32)
        self.assertEqual(to_bfloat16(values).tolist(), [0x3F80, 0x3F82])

    def test_an_approximation_is_within_its_last_place(self):
        self.assertEqual(one_result_of(f"MOV R4, {bits(3.0):#x}", "MUFU.RCP R9, R4"), bits(1 / 3))
        self.assertEqual(one_result_of("MOV R4, 0x1", "MUFU.RCP R9, R4"), bits(float("inf")))

    def test_divisions_that_need_the_slow_way(self):
        for a, b, expected in [(1.0, 3.0, 0), (1e-38, 1.0, 1), (1.0, 1e38, 1), (float("inf"), 1.0, 1)]:
            self.assertEqual(one_result_of(f"MOV R4, {bits(a):#x}", f"MOV R5, {bits(b):#x}", "FCHK P0, R4, R5",
                                           "SEL R9, RZ, 0x1, !P0"), expected, (a, b))


class ControlTest(unittest.TestCase):
    BOTH_WAYS = [
        *OWN_ADDRESS,  # 0x00 to 0x20
        "ISETP.GE.AND P0, PT, R0, 0x8, PT",
        "BSSY B0, 0x90",  # 0x40
        "@P0 BRA 0x80",
        "MOV R9, 0x1",
        "BRA 0x90",
        "MOV R9, 0x2",  # 0x80
        "BSYNC B0",
        "SHFL.BFLY PT, R10, R9, 0x10, 0x1f",
        "IMAD R9, R10, 0x10, R9",
        STORE,
    ]

    def test_lanes_that_went_two_ways_meet(self):
        self.assertEqual(words(run(*self.BOTH_WAYS)), [0x21] * 8 + [0x22] * 8 + [0x12] * 8 + [0x22] * 8)

    def test_an_exchange_with_lanes_that_are_elsewhere_is_refused(self):
        lines = [line for line in self.BOTH_WAYS if not line.startswith("BS")]
        lines = [line.replace("0x80", "0x70").replace("0x90", "0xd0") for line in lines] + ["EXIT"]
        with self.assertRaisesRegex(Unknown, "SHFL.BFLY .* a lane that is not there"):
            run(*lines)

    def test_the_largest_of_a_warp(self):
        lines = [line.replace("SHFL.BFLY PT, R10, R9, 0x10, 0x1f", "REDUX.MAX UR4, R0").replace("R10, 0x10, R9", "R9, 0x10, RZ")
                 for line in self.BOTH_WAYS]
        lines.insert(-1, "IADD3 R9, R9, UR4, RZ")
        self.assertEqual(words(run(*lines)), [0x10 + 31] * 8 + [0x20 + 31] * 24)

    def test_the_largest_with_lanes_that_are_elsewhere_is_refused(self):
        lines = [line for line in self.BOTH_WAYS if not line.startswith("BS")]
        lines = [line.replace("0x80", "0x70").replace("0x90", "0xd0").replace("SHFL.BFLY PT, R10, R9, 0x10, 0x1f", "REDUX.MAX UR4, R0")
                 for line in lines] + ["EXIT"]
        with self.assertRaisesRegex(Unknown, "REDUX.* a lane is not there"):
            run(*lines)

    def test_loops(self):
        # Lane l goes round l + 1 times.
        lines = ["MOV R9, RZ", "IADD3 R9, R9, 0x1, RZ", "ISETP.LE.U32.AND P0, PT, R9, R0, PT", "@P0 BRA 0x40"]
        self.assertEqual(result_of(*lines), list(range(1, 33)))

    def test_calls_return(self):
        self.assertEqual(one_result_of("MOV R4, 0x60", "MOV R9, 0x1", "CALL.REL.NOINC 0x70", "BRA 0x90",
                                       "IADD3 R9, R9, 0x5, RZ", "RET.REL.NODEC R4 0x0"), 6)

    def test_a_lane_that_breaks_is_not_waited_for(self):
        lines = [*OWN_ADDRESS, "ISETP.EQ.AND P0, PT, R0, 0x3, PT", "BSSY B0, 0x80", "@P0 BREAK B0", "@P0 BRA 0x90",
                 "MOV R9, 0x1", "BSYNC B0", "IADD3 R9, R9, 0x4, RZ", STORE]
        self.assertEqual(words(run(*lines)), [5] * 3 + [4] + [5] * 28)

    def test_a_lane_that_ended_is_not_waited_for(self):
        lines = [*OWN_ADDRESS, "ISETP.EQ.AND P0, PT, R0, 0x3, PT", "BSSY B0, 0x70", "@P0 EXIT", "MOV R9, 0x1",
                 "BSYNC B0", STORE]
        self.assertEqual(words(run(*lines)), [1] * 3 + [0] + [1] * 28)

    def test_warps_exchange_by_shared_memory_behind_a_barrier(self):
        lines = ["S2R R0, SR_TID.X", "MOV R1, 0x4", "IMAD.WIDE R2, R0, R1, c[0x0][0x160]", "IMAD.SHL.U32 R4, R0, 0x4, RZ",
                 "STS [R4], R0", "BAR.SYNC 0x0", "LOP3.LUT R4, R4, 0x80, RZ, 0x3c, !PT", "LDS R9, [R4]", STORE]
        self.assertEqual(words(run(*lines, threads=64, shared_bytes=256), 64), [*range(32, 64), *range(32)])

    def test_a_block_that_is_stuck_is_reported(self):
        # One half waits for the block, the other for the first.
        lines = [*OWN_ADDRESS, "ISETP.GE.AND P0, PT, R0, 0x10, PT", "BSSY B0, 0x60", "@P0 BAR.SYNC 0x0", "BSYNC B0"]
        with self.assertRaisesRegex(Stuck, "never come"):
            run(*lines)


class MemoryTest(unittest.TestCase):
    def test_widths_and_signs(self):
        image = np.arange(64, dtype=np.uint8)
        image[3] = 0x85
        lines = ["MOV R2, c[0x0][0x160]", "MOV R3, c[0x0][0x164]", "LDG.E.128 R4, [R2.64+0x10]", "LDG.E.S8 R8, [R2.64+0x3]",
                 "LDG.E.U16 R9, [R2.64+0x2]", "STG.E.64 [R2.64+0x20], R8"]
        after = run(*lines, size=64, image=image)
        self.assertEqual([int(after.registers[r, 0]) for r in range(4, 10)],
                         [0x13121110, 0x17161514, 0x1B1A1918, 0x1F1E1D1C, 0xFFFFFF85, 0x8502])
        self.assertEqual(after.memory.image[0x20:0x28].tolist(), [0x85, 0xFF, 0xFF, 0xFF, 2, 0x85, 0, 0])

    def test_a_guard_keeps_lanes_from_it(self):
        lines = [*OWN_ADDRESS, "ISETP.GE.AND P0, PT, R0, 0x10, PT", "MOV R9, 0x7", "@!P0 STG.E [R2.64], R9"]
        self.assertEqual(words(run(*lines)), [7] * 16 + [0] * 16)

    def test_what_no_allocation_holds_is_refused(self):
        with self.assertRaisesRegex(Fault, f"accesses {BUFFER:#x} to 0x10080"):
            run(*OWN_ADDRESS, STORE, size=124)

    def test_what_is_not_aligned_is_refused(self):
        with self.assertRaisesRegex(Fault, "not aligned"):
            run(*OWN_ADDRESS, "STG.E [R2.64+0x2], R9")

    def test_generic_addresses_find_shared_memory(self):
        lines = ["MOV R4, c[0x0][0x18]", "MOV R5, c[0x0][0x1c]", "MOV R9, 0x9", "ST.E [R4.64+0x8], R9", "LDS R10, [0x8]"]
        self.assertEqual(int(run(*lines, shared_bytes=16).registers[10, 0]), 9)


class UnknownTest(unittest.TestCase):
    def test_an_instruction_that_is_not_modelled_is_named(self):
        with self.assertRaisesRegex(Unknown, "TEX R4, R5 at 0x0: add it"):
            machine(code("TEX R4, R5", "EXIT")).run()


if __name__ == "__main__":
    unittest.main()
