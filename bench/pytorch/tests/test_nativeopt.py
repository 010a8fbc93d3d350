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
from nativeopt import (
    DType,
    GradFlag,
    GradOptions,
    Library,
    LibraryError,
    NativeOptError,
    Optimizer,
    ParamSet,
    Role,
)

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

    device = FakeDevice()

    def __init__(self, values: list[float], dtype: str = "float32") -> None:
        """16 bits, and bytes, are given as they are."""
        self.dtype = f"torch.{dtype}"
        self.values = array.array({"float32": "f", "uint8": "B"}.get(dtype, "H"), values)

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
            (nativeopt.DType, "nopt_dtype"),
            (nativeopt.Role, "nopt_role"),
            (nativeopt.Flag, "nopt_flag"),
            (nativeopt.GradFlag, "nopt_grad_flag"),
            (nativeopt.DimerScope, "nopt_dimer_scope"),
            (nativeopt.DimerRotation, "nopt_dimer_rotation"),
            (nativeopt.DimerForce, "nopt_dimer_force"),
            (nativeopt.DimerAngle, "nopt_dimer_angle"),
            (nativeopt.DimerCorrection, "nopt_dimer_correction"),
        ):
            body = re.search(rf"typedef enum {name} NOPT_INT32 \{{(.*?)\}} {name};", text, re.S)
            self.assertIsNotNone(body, name)
            found = {key: int(value) for key, value in re.findall(r"^    (NOPT_\w+) = (\d+)", body[1], re.M)}
            short = {nativeopt.Status: "NOPT_", nativeopt.GradFlag: "NOPT_GRAD_"}
            prefix = short.get(python, name.upper() + "_")
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

    def test_a_step_in_bfloat16(self) -> None:
        # 1 - 2^-8 - 2^-16 needs the remainder; the bfloat16 alone is 1 - 2^-8.
        for dtype, grad_values in (("bfloat16", [0x3B81]), ("float32", [2**-8 + 2**-15])):
            param, grad = FakeTensor([0x3F80], "bfloat16"), FakeTensor(grad_values, dtype)
            remainder = FakeTensor([0], "int16")
            with ParamSet(self.library, [param]) as parameters, Optimizer(parameters, "sgd") as optimizer:
                if dtype == "float32":
                    parameters.set_dtypes(Role.GRAD, [DType.FLOAT32])
                parameters.bind(Role.GRAD, [grad])
                parameters.bind(Role.PARAM_REMAINDER, [remainder])
                optimizer.step(self.library.defaults("sgd", lr=1.0))
            # 0x3B81 is 2^-8 + 2^-15.
            self.assertEqual((param.values[0], remainder.values[0]), (0x3F7F, 0xFE00))
            upper = param.values[0] - (remainder.values[0] >> 15)
            theta = array.array("I", [(upper << 16) + remainder.values[0]])
            self.assertEqual(array.array("f", theta.tobytes())[0], 1 - 2**-8 - 2**-15)

    def test_states_of_a_type_and_a_frozen_parameter(self) -> None:
        params = [FakeTensor([1.0]), FakeTensor([1.0])]
        states = [[FakeTensor([0], "bfloat16") for _ in params] for _ in range(2)]
        with ParamSet(self.library, params) as parameters, Optimizer(parameters, "adam") as optimizer:
            for role, tensors in zip((Role.EXP_AVG, Role.EXP_AVG_SQ), states):
                parameters.set_dtypes(role, [DType.BFLOAT16] * 2)
                parameters.bind(role, tensors)
            parameters.bind(Role.GRAD, [FakeTensor([1.0]), None])
            optimizer.step(self.library.defaults("adam", lr=0.5, beta1=0.5))
            self.assertEqual(states[0][0].values[0], 0x3F00)  # 0.5
            self.assertEqual((states[0][1].values[0], params[1].values[0]), (0, 1.0))
            self.assertAlmostEqual(params[0].values[0], 0.5, places=2)

            for role in (Role.EXP_AVG, Role.GRAD):
                parameters.bind(role, None)
                parameters.set_dtypes(role, None)
            with self.assertRaisesRegex(
                ValueError, r"EXP_AVG\[0\] is torch.bfloat16, expected is torch.float32"
            ):
                parameters.bind(Role.EXP_AVG, states[0])
            with self.assertRaisesRegex(ValueError, r"PARAM_REMAINDER\[0\] is torch.float32, .* torch.int16"):
                parameters.bind(Role.PARAM_REMAINDER, params)
            with self.assertRaisesRegex(ValueError, r"EXP_AVG\[1\] is None"):
                parameters.bind(Role.EXP_AVG, [params[0], None])
            with self.assertRaisesRegex(ValueError, "GRAD: there are 1 types for 2 parameters"):
                parameters.set_dtypes(Role.GRAD, [DType.FLOAT32])
            with self.assertRaises(NativeOptError):
                parameters.set_dtypes(Role.EXP_AVG, [DType.FLOAT16] * 2)
        with self.assertRaisesRegex(ValueError, "torch.int16 is no type of NativeOpt"):
            ParamSet(self.library, [FakeTensor([0], "int16")])
        with self.assertRaises(NativeOptError):
            ParamSet(self.library, [FakeTensor([0], "uint8")])

    def test_states_of_8_bits(self) -> None:
        self.assertEqual([self.library.buffer_bytes(DType.DYNAMIC8, n) for n in (0, 256, 257)], [0, 260, 265])
        self.assertEqual(self.library.buffer_bytes(DType.BFLOAT16, 7), 14)
        param, grad = FakeTensor([0.0, 0.0, 0.0]), FakeTensor([2.0, -2.0, 0.0])
        state = FakeTensor([0] * 7, "uint8")
        self.assertEqual(DType.of(state), DType.DYNAMIC8)
        with ParamSet(self.library, [param]) as parameters, Optimizer(parameters, "sgd") as optimizer:
            with self.assertRaisesRegex(ValueError, "torch.uint8, expected is torch.float32"):
                parameters.bind(Role.MOMENTUM_BUFFER, [state])
            parameters.set_dtypes(Role.MOMENTUM_BUFFER, [DType.of(state)])
            with self.assertRaisesRegex(
                ValueError, r"MOMENTUM_BUFFER\[0\] has 3 bytes, DYNAMIC8 takes 7 for the 3 elements"
            ):
                parameters.bind(Role.MOMENTUM_BUFFER, [FakeTensor([0] * 3, "uint8")])
            parameters.bind(Role.MOMENTUM_BUFFER, [state])
            parameters.bind(Role.GRAD, [grad])
            optimizer.step(self.library.defaults("sgd", lr=1.0, momentum=0.5))
        self.assertEqual(array.array("f", state.values.tobytes()[:4])[0], 2.0)
        self.assertEqual(list(state.values[4:]), [128, 129, 0])  # 1, the lowest, 0
        self.assertEqual(list(param.values), [-2.0, 2.0, 0.0])

    def test_clipped_and_skipped_gradients(self) -> None:
        param, grad = FakeTensor([0.0, 0.0]), FakeTensor([12.0, -16.0])
        with ParamSet(self.library, [param]) as parameters, Optimizer(parameters, "sgd") as optimizer:
            optimizer.set_capturable(True)
            parameters.bind(Role.GRAD, [grad])
            flags = GradFlag.CLIP_NORM | GradFlag.CLIP_VALUE | GradFlag.SKIP_NONFINITE
            optimizer.set_grad_options(
                GradOptions(flags=flags, max_norm=0.5, max_value=0.375, loss_scale=4.0)
            )
            hyperparams = self.library.defaults("sgd", lr=1.0)
            optimizer.step(hyperparams)
            status = optimizer.grad_status
            self.assertEqual((status.norm, status.skipped), (5.0, 0))
            self.assertAlmostEqual(status.clip_coefficient, 0.1, places=6)
            self.assertAlmostEqual(param.values[0], -0.3, places=6)
            self.assertEqual(param.values[1], 0.375)

            grad.values[0] = math.nan
            before = list(param.values)
            optimizer.step(hyperparams)
            self.assertEqual((list(param.values), optimizer.state.step), (before, 1))
            self.assertEqual((optimizer.grad_status.skipped, optimizer.grad_status.skipped_steps), (1, 1))

            optimizer.set_grad_options(None)
            grad.values[0] = 1.0
            optimizer.step(hyperparams)
            self.assertEqual(param.values[1], 16.375)
            with self.assertRaisesRegex(NativeOptError, "max_norm"):
                optimizer.set_grad_options(GradOptions(max_norm=1.0))

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
