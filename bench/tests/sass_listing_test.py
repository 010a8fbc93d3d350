"""Tests of sass/listing.py: python3 -m unittest discover -s bench/tests -p '*_test.py'"""

import unittest

import sass_support
from sass import listing

ADD = """
arch = sm_90
		Function : _Z3addPf
	.headerflags    @"EF_CUDA_SM90"
        /*0000*/                   LDC R1, c[0x0][0x28] ;                 /* 0x00000a00ff017b82 */
                                                                          /* 0x000fe20000000800 */
        /*0010*/              @!P0 LDG.E.128 R4, [R2.64+UR4+-0x10] ;      /* 0x0000000402028981 */
                                                                          /* 0x004ea4000c1e1900 */
        /*0020*/                   FADD R9, -|R0|.reuse, -0.5 ;           /* 0x0000000900097221 */
                                                                          /* 0x004fca0000000000 */
                                                                          /* 0x0000000009007248 */
                                                                          /* 0x000fe40007fe0000 */
        /*0040*/                   RET.REL.NODEC R4 0x0 ;                 /* 0x0000000000007918 */
                                                                          /* 0x000fc00000000000 */
"""


class ParserTest(unittest.TestCase):
    def setUp(self):
        self.code = listing.parse(ADD.splitlines())["_Z3addPf"]

    def test_reads_opcodes_guards_and_addresses(self):
        self.assertEqual(self.code.arch, "sm_90")
        self.assertEqual([(i.address, i.opcode, i.modifiers) for i in self.code.instructions],
                         [(0, "LDC", ()), (16, "LDG", ("E", "128")), (32, "FADD", ()), (48, "VIMNMX", ("U32",)),
                          (64, "RET", ("REL", "NODEC"))])
        guard = self.code.instructions[1].guard
        self.assertEqual((guard.kind, guard.index, guard.negated), ("predicate", 0, True))
        self.assertIsNone(self.code.instructions[0].guard)

    def test_reads_operands(self):
        constant = self.code.instructions[0].operands[1]
        self.assertEqual((constant.kind, constant.bank, constant.value), ("constant", 0, 0x28))
        place = self.code.instructions[1].operands[1]
        self.assertEqual((place.kind, place.value, place.registers),
                         ("memory", -0x10, [(2, False, True, 1), (4, True, False, 1)]))
        to, number, half = self.code.instructions[2].operands
        self.assertEqual((to.kind, to.index), ("register", 9))
        self.assertEqual((number.index, number.negated, number.absolute), (0, True, True))
        self.assertEqual(half.value, -0.5)
        self.assertEqual([(o.kind, o.index, o.value) for o in self.code.instructions[4].operands],
                         [("register", 4, 0), ("number", None, 0)])

    def test_reads_what_the_scheduler_is_told(self):
        load, add = self.code.instructions[1:3]
        # 0x004ea4: it waits for barrier 2, stalls for 2 cycles and frees barrier 2 when the result is there.
        self.assertEqual((load.stall, load.write_barrier, load.read_barrier, load.waits), (2, 2, listing.NO_BARRIER, 4))
        self.assertEqual((add.stall, add.write_barrier, add.waits), (5, listing.NO_BARRIER, 4))

    def test_decodes_the_instruction_that_the_listing_leaves_out(self):
        least = self.code.instructions[3]
        self.assertEqual([(o.kind, o.index) for o in least.operands],
                         [("register", 0), ("register", 9), ("register", 0), ("predicate", 7)])
        self.assertTrue(least.operands[3].negated)
        self.assertEqual(least.stall, 2)

    def test_refuses_another_one_that_it_leaves_out(self):
        with self.assertRaisesRegex(listing.Unreadable, "0x30: the listing has no text for 0x0000000009007249"):
            listing.parse(ADD.replace("09007248", "09007249").splitlines())

    def test_numbers(self):
        for text, value in [("-0x10", -16), ("1", 1.0), ("1.5e-3", 1.5e-3), ("+INF", float("inf")), ("-INF", -float("inf"))]:
            self.assertEqual(listing.number_of(text), value)
        self.assertNotEqual(listing.number_of("-QNAN"), listing.number_of("-QNAN"))
        self.assertEqual(str(listing.number_of("-0")), "-0.0")

    def test_names_of_variables_are_those_of_any_compilation(self):
        self.assertEqual(listing.variable_key("_ZN46_INTERNAL_6c158b0b_15_cuda_backend_cu_0bc9dc974nopt11kSignedCodeE"),
                         listing.variable_key("_ZN46_INTERNAL_11223344_15_cuda_backend_cu_aabbccdd4nopt11kSignedCodeE"))


class UnreadableTest(unittest.TestCase):
    def test_an_object_that_is_no_elf_file_is_refused(self):
        with self.assertRaisesRegex(listing.Unreadable, "is not an ELF file"):
            listing.Cubin(sass_support.__file__)

    def test_a_command_that_fails_is_named(self):
        with self.assertRaisesRegex(listing.Unreadable, "^false failed"):
            listing.run("false")


if __name__ == "__main__":
    unittest.main()
