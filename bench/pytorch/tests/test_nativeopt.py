"""The ctypes layer, without torch."""

from __future__ import annotations

import array
import enum
import math
import os
import pathlib
import re
import unittest
from ctypes import c_double, c_uint32

import nativeopt
from nativeopt import Library, LibraryError, NativeOptError, Optimizer, ParamSet, Role

HEADER = pathlib.Path(__file__).parents[3] / "native/include/nativeopt/nativeopt.h"
LIBRARY = os.environ.get("NATIVEOPT_LIBRARY")

LAYOUT = "struct nopt_a 24\nfield struct_size 0 4\nfield value 8 8\nfield later 16 8\n"


class A(nativeopt.Struct):
    _fields_ = [("struct_size", c_uint32), ("value", c_double)]


class FakeDevice:
    type = "cpu"
    index = None


class FakeTensor:
    """What nativeopt.py asks of a tensor, over an array of the standard library."""

    dtype = "torch.float32"
    device = FakeDevice()

    def __init__(self, values: list[float]) -> None:
        self.values = array.array("f", values)

    def data_ptr(self) -> int:
        return self.values.buffer_info()[0]

    def numel(self) -> int:
        return len(self.values)

    def is_contiguous(self) -> bool:
        return True


class HeaderTests(unittest.TestCase):
    def test_enums_are_the_headers(self) -> None:
        text = HEADER.read_text(encoding="utf-8")
        for python, name in (
            (nativeopt.Status, "nopt_status"),
            (nativeopt.Backend, "nopt_backend"),
            (nativeopt.Role, "nopt_role"),
            (nativeopt.Flag, "nopt_flag"),
            (nativeopt.DimerScope, "nopt_dimer_scope"),
            (nativeopt.DimerRotation, "nopt_dimer_rotation"),
            (nativeopt.DimerForce, "nopt_dimer_force"),
            (nativeopt.DimerAngle, "nopt_dimer_angle"),
            (nativeopt.DimerCorrection, "nopt_dimer_correction"),
        ):
            body = re.search(rf"typedef enum {name} NOPT_INT32 \{{(.*?)\}} {name};", text, re.S)
            self.assertIsNotNone(body, name)
            found = {key: int(value) for key, value in re.findall(r"^    (NOPT_\w+) = (\d+)", body[1], re.M)}
            prefix = "NOPT_" if python is nativeopt.Status else name.upper() + "_"
            self.assertEqual(found, {prefix + member.name: int(member) for member in python})

    def test_abi_version_is_the_headers(self) -> None:
        version = re.search(r"#define NOPT_ABI_VERSION (\d+)", HEADER.read_text(encoding="utf-8"))
        self.assertEqual(nativeopt.ABI_VERSION, int(version[1]))


class LayoutTests(unittest.TestCase):
    def test_more_fields_at_the_end_are_fine(self) -> None:
        nativeopt.check_layout(LAYOUT, {"nopt_a": A})

    def test_differences_are_named(self) -> None:
        for layout, message in (
            (
                LAYOUT.replace("value 8 8", "value 4 8"),
                r"nopt_a\.value is 8 bytes at offset 4 in the library",
            ),
            (
                LAYOUT.replace("value 8 8", "value 8 4"),
                r"nopt_a\.value is 4 bytes at offset 8 in the library",
            ),
            (LAYOUT.replace("field value", "field other"), r"nopt_a\.value is not there"),
            (LAYOUT.replace("nopt_a 24", "nopt_a 8"), r"nopt_a has 8 bytes in the library and 16"),
            (LAYOUT.replace("nopt_a", "nopt_b"), r"no struct nopt_a"),
        ):
            with self.assertRaisesRegex(LibraryError, message):
                nativeopt.check_layout(layout, {"nopt_a": A})

    def test_no_library(self) -> None:
        before = os.environ.pop("NATIVEOPT_LIBRARY", None)
        try:
            with self.assertRaisesRegex(LibraryError, "NATIVEOPT_LIBRARY"):
                Library()
        finally:
            if before is not None:
                os.environ["NATIVEOPT_LIBRARY"] = before
        with self.assertRaisesRegex(LibraryError, "cannot be loaded"):
            Library("no-such-library.so")


@unittest.skipUnless(LIBRARY, "NATIVEOPT_LIBRARY is not set")
class LibraryTests(unittest.TestCase):
    def setUp(self) -> None:
        self.library = Library()

    def test_every_status_function_of_the_list_is_there(self) -> None:
        for name in nativeopt.FUNCTIONS:
            self.assertTrue(callable(getattr(self.library, name)))

    def test_a_step(self) -> None:
        param, grad = FakeTensor([1.0, -2.0]), FakeTensor([0.5, 0.25])
        with ParamSet(self.library, [param]) as parameters, Optimizer(parameters, "sgd") as optimizer:
            hyperparams = self.library.defaults("sgd", lr=2.0)
            self.assertEqual(optimizer.roles(hyperparams), [Role.PARAM, Role.GRAD])
            parameters.bind(Role.GRAD, [grad])
            optimizer.step(hyperparams)
            self.assertEqual(optimizer.state.step, 1)
        self.assertEqual(list(param.values), [0.0, -2.5])

    def test_a_dimer(self) -> None:
        param, grad, zero = FakeTensor([1.0, -2.0]), FakeTensor([0.5, 0.25]), FakeTensor([0.0, 0.0])
        with ParamSet(self.library, [param]) as parameters, Optimizer(parameters, "sgd") as optimizer:
            options = self.library.dimer_defaults(displacement=0.5)
            with nativeopt.Dimer(optimizer) as dimer:
                self.assertEqual(dimer.roles(options), [Role.DIRECTION, Role.PARAM_BACKUP])
                parameters.bind(Role.GRAD, [grad])
                parameters.bind(Role.DIRECTION, [zero])
                backup = FakeTensor([0.0, 0.0])
                parameters.bind(Role.PARAM_BACKUP, [backup])
                dimer.init_direction(1)
                direction = list(zero.values)
                self.assertAlmostEqual(math.hypot(*direction), 1.0, places=6)
                dimer.displace(options)
                for value, start, n in zip(param.values, (1.0, -2.0), direction):
                    self.assertAlmostEqual(value, start + 0.5 * n, places=6)
                dimer.restore()
                self.assertEqual(list(param.values), [1.0, -2.0])
                self.assertTrue(math.isnan(dimer.status().curvature))

    def test_errors_have_the_librarys_message(self) -> None:
        param = FakeTensor([1.0])
        with ParamSet(self.library, [param]) as parameters:
            with self.assertRaisesRegex(NativeOptError, "overlap") as caught:
                parameters.bind(Role.EXP_AVG, [param])
            self.assertEqual(caught.exception.status, nativeopt.Status.ERROR_OVERLAP)
            with self.assertRaisesRegex(ValueError, "GRAD: there are 2 tensors for 1 parameters"):
                parameters.bind(Role.GRAD, [param, param])
            with self.assertRaisesRegex(ValueError, "has 2 elements, its parameter 1"):
                parameters.bind(Role.GRAD, [FakeTensor([1.0, 2.0])])

    def test_enums_are_ints(self) -> None:
        self.assertTrue(issubclass(Role, enum.IntEnum))


if __name__ == "__main__":
    unittest.main()
