"""Tests of kernel_resources.py, on what cuobjdump prints: python3 -m unittest discover -s bench/tests -p '*_test.py'"""

import contextlib
import io
import os
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
import kernel_resources

UPDATE = "_ZN4nopt13update_kernelINS_4AdamELi1ENS_11DimerSourceEEEvNS_16ElementwiseTableENT1_5TableENS_9StepInputE"
FILL = "_ZN4nopt11fill_kernelEPflf"

USAGE = f"""
Fatbin elf code:
================
arch = sm_80
code version = [1,7]
host = linux
compile_size = 64bit

Resource usage:
 Common:
  GLOBAL:0
 Function {UPDATE}:
  REG:80 STACK:16 SHARED:48 LOCAL:0 CONSTANT[0]:616 TEXTURE:0 SURFACE:0 SAMPLER:0
 Function {FILL}:
  REG:26 STACK:0 SHARED:0 LOCAL:0 CONSTANT[0]:380 TEXTURE:0 SURFACE:0 SAMPLER:0

Fatbin elf code:
================
arch = sm_90
code version = [1,7]

Resource usage:
 Common:
  GLOBAL:0
 Function {FILL}:
  REG:18 STACK:0 SHARED:0 LOCAL:0 CONSTANT[0]:548 CONSTANT[2]:12 TEXTURE:0 SURFACE:0 SAMPLER:0
"""

SASS_80 = f"""
arch = sm_80

\tcode for sm_80
\t\tFunction : {FILL}
\t.headerflags    @"EF_CUDA_SM80 EF_CUDA_PTX_SM(EF_CUDA_SM80)"
        /*0000*/                   MOV R1, c[0x0][0x28] ;          /* 0x00000a0000017a02 */
                                                                   /* 0x000fc40000000f00 */
        /*0010*/               @P0 EXIT ;                          /* 0x000000000000094d */
\t\tFunction : {UPDATE}
        /*0000*/                   STL.64 [R1+0x8], R2 ;           /* 0x0000080201007387 */
        /*0010*/              @!P0 LDL.LU.64 R2, [R1+0x8] ;        /* 0x0000080001027983 */
        /*0020*/                   LDS R3, [R4] ;                  /* 0x0000000004037984 */
        /*0030*/                   LDG.E R3, [R4] ;                /* 0x0000000404037981 */
        /*10040*/                  LDL R7, [R1] ;                  /* 0x0000000001077983 */
"""

SASS_90 = f"""
arch = sm_90
\t\tFunction : {FILL}
        /*0000*/                   LDC R1, c[0x0][0x28] ;          /* 0x00000a00ff017b82 */
"""


class ParserTest(unittest.TestCase):
    def test_reads_the_usage_of_each_kernel_and_architecture(self):
        kernels = kernel_resources.parse_usage(USAGE)
        self.assertEqual([(kernel.arch, kernel.symbol) for kernel in kernels],
                         [("sm_80", UPDATE), ("sm_80", FILL), ("sm_90", FILL)])
        update = kernels[0]
        self.assertEqual((update.registers, update.stack, update.shared, update.local), (80, 16, 48, 0))

    def test_refuses_a_line_without_the_stack(self):
        with self.assertRaisesRegex(kernel_resources.Unreadable, "STACK"):
            kernel_resources.parse_usage(USAGE.replace("STACK:16 ", ""))

    def test_counts_local_loads_and_stores_of_the_right_kernel(self):
        kernels = kernel_resources.parse_usage(USAGE)
        kernel_resources.count_instructions(SASS_80.splitlines(), kernels)
        self.assertEqual([(kernel.instructions, kernel.loads, kernel.stores) for kernel in kernels],
                         [(5, 2, 1), (2, 0, 0), (0, 0, 0)])

    def test_shortens_names(self):
        for demangled, short in [
            ("void nopt::update_kernel<nopt::DualAdam, 1, nopt::DimerSource>(nopt::ElementwiseTable, "
             "nopt::DimerSource::Table, nopt::StepInput)", "update<DualAdam, 1, DimerSource>"),
            ("void nopt::(anonymous namespace)::dimer_kernel<nopt::TurnElements>(nopt::DimerTable, double)",
             "dimer<TurnElements>"),
            ("nopt::fill_kernel(float*, long, float)", "fill"),
            ("void nopt::sums_kernel<3>(nopt::DimerTable, nopt::Sums*)", "sums<3>"),
        ]:
            self.assertEqual(kernel_resources.short_name(demangled), short)


class OccupancyTest(unittest.TestCase):
    def blocks(self, arch, registers, shared=0):
        return kernel_resources.Kernel(arch, "", "", registers, 0, 0, shared).blocks()

    def test_is_what_the_occupancy_calculator_gives(self):
        self.assertEqual(self.blocks("sm_90", 32), 8)  # all 64 warps
        self.assertEqual(self.blocks("sm_90", 33), 6)  # 1280 registers for each warp
        self.assertEqual(self.blocks("sm_90a", 80), 3)
        self.assertEqual(self.blocks("sm_80", 81), 2)
        self.assertEqual(self.blocks("sm_80", 255), 1)
        self.assertEqual(self.blocks("sm_86", 32), 6)  # 48 warps
        self.assertEqual(self.blocks("sm_75", 32), 4)  # 32 warps

    def test_passes_over_elements_have_blocks_of_128_threads(self):
        for name in ["update<Adam, 0>", "mixed_dimer_update<Sgd>", "dimer<TurnElements<true> >", "randomize"]:
            kernel = kernel_resources.Kernel("sm_90", "", name, 72, 0, 0, 0)
            self.assertEqual((kernel.blocks(), kernel.occupancy()), (7, 28 / 64), name)
        self.assertEqual(kernel_resources.Kernel("sm_90", "", "sums<0, true>", 72, 0, 0, 0).blocks(), 3)

    def test_counts_shared_memory_and_what_the_driver_keeps(self):
        self.assertEqual(self.blocks("sm_86", 32, 24 * 1024), 4)
        self.assertEqual(self.blocks("sm_86", 32, 25 * 1024), 3)

    def test_is_a_part_of_the_warps(self):
        self.assertEqual(kernel_resources.Kernel("sm_89", "", "", 80, 0, 0, 0).occupancy(), 0.5)


class CommandTest(unittest.TestCase):
    """The whole command, with a cuobjdump that prints the samples."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        self.write("library", "")
        path = os.environ["PATH"]
        self.addCleanup(os.environ.__setitem__, "PATH", path)
        os.environ["PATH"] = self.folder + os.pathsep + path

    def write(self, name, text):
        path = os.path.join(self.folder, name)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(path, 0o755)
        return path

    def run_on(self, usage, *arguments):
        for name, text in [("usage", usage), ("sm_80", SASS_80), ("sm_90", SASS_90)]:
            self.write(name, text)
        self.write("cuobjdump", '#!/bin/sh\ncd "${0%/*}"\n'
                   'if [ "$1" = --dump-resource-usage ]; then cat usage; else cat "$3"; fi\n')
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            status = kernel_resources.main([os.path.join(self.folder, "library"), *arguments])
        return status, out.getvalue(), err.getvalue()

    def test_fails_and_names_the_kernel_and_the_architecture(self):
        status, out, err = self.run_on(USAGE)
        self.assertEqual(status, 1)
        self.assertEqual(err, "FAIL update<Adam, 1, DimerSource> on sm_80: "
                              "16 byte(s) of stack, 2 local load(s), 1 local store(s)\n")
        self.assertIn("3 kernels for sm_80, sm_90: 1 with local memory", out)

    def test_local_instructions_fail_without_a_stack(self):
        status, _, err = self.run_on(USAGE.replace("STACK:16", "STACK:0"))
        self.assertEqual(status, 1)
        self.assertIn("on sm_80: 2 local load(s), 1 local store(s)", err)

    def test_passes_an_architecture_without_local_memory(self):
        status, out, err = self.run_on(USAGE, "--arch", "sm_90", "--markdown")
        self.assertEqual((status, err), (0, ""))
        self.assertIn("| fill | 18 | 0 | 0 | 0 | 0 | 0 | 8 | 100% |", out)

    def test_refuses_an_architecture_that_was_not_compiled(self):
        status, _, err = self.run_on(USAGE, "--arch", "sm_80,sm_70")
        self.assertEqual(status, 2)
        self.assertIn("no code for sm_70; it has sm_80, sm_90", err)

    def test_refuses_a_library_without_kernels(self):
        status, _, err = self.run_on("")
        self.assertEqual(status, 2)
        self.assertIn("no CUDA kernel", err)

    def test_refuses_a_kernel_without_instructions(self):
        other = USAGE.replace(FILL, FILL + "x")
        status, _, err = self.run_on(other)
        self.assertEqual(status, 2)
        self.assertIn("no instruction", err)


if __name__ == "__main__":
    unittest.main()
