"""The ctypes layer, without torch."""

from __future__ import annotations

import array
import math
import os
import pathlib
import re
import struct
import unittest
from ctypes import c_double, c_uint32

import nativeopt
from nativeopt import (
    GradFlag,
    GradOptions,
    Library,
    LibraryError,
    NativeOptError,
    Optimizer,
    ParamSet,
)

HEADER = pathlib.Path(__file__).parents[3] / "native/include/nativeopt/nativeopt.h"
LIBRARY = os.environ.get("NATIVEOPT_LIBRARY")

LAYOUT = "struct nopt_a 24\nfield struct_size 0 4\nfield value 8 8\nfield later 16 8\n"


class A(nativeopt.Struct):
    _fields_ = [("struct_size", c_uint32), ("value", c_double)]


def bfloat16_bits(value: float) -> int:
    return struct.unpack("<I", struct.pack("<f", value))[0] >> 16


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

    def test_constants_are_the_headers(self) -> None:
        text = HEADER.read_text(encoding="utf-8")
        for name in ("ABI_VERSION", "MAX_HYPERPARAMS", "MAX_RUNNING"):
            constant = re.search(rf"#define NOPT_{name} (\d+)", text)
            self.assertEqual(getattr(nativeopt, name), int(constant[1]), name)


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
        for name in (*nativeopt.FUNCTIONS, *nativeopt.COUNTS):
            self.assertTrue(callable(getattr(self.library, name)))

    def test_every_element_type_and_role_of_the_header_is_described(self) -> None:
        text = HEADER.read_text(encoding="utf-8")
        for enum_name, prefix, found in (
            ("nopt_dtype", "NOPT_DTYPE_", {name: info.dtype for name, info in self.library.dtypes.items()}),
            ("nopt_role", "NOPT_ROLE_", {name: info.role for name, info in self.library.roles.items()}),
        ):
            body = re.search(rf"typedef enum {enum_name} NOPT_INT32 \{{(.*?)\}} {enum_name};", text, re.S)
            values = re.findall(rf"^    {prefix}(\w+) = (\d+)", body[1], re.M)
            expected = {name.lower(): int(value) for name, value in values}
            # The first state and the first input have their names from the rule.
            expected.pop("state", None), expected.pop("input", None)
            self.assertEqual(found, expected)

    def test_every_rule_steps_after_every_hyperparameter_was_set_by_name(self) -> None:
        self.assertEqual(len(self.library.rules), self.library.nopt_rule_count())
        for name, rule in self.library.rules.items():
            self.assertEqual(list(rule.hyperparams)[:2], ["lr", "weight_decay"])
            self.assertTrue(rule.source and rule.equations)
            # 1 and -2; stochastic_rounding is an option of bfloat16 parameters.
            param = FakeTensor([0x3F80, 0xC000], "bfloat16")
            with ParamSet(self.library, [param]) as parameters, Optimizer(parameters, name) as optimizer:
                for hyperparam, info in rule.hyperparams.items():
                    self.assertEqual(optimizer.get(hyperparam), info.default_value)
                    middle = info.min + 0.25 * (min(info.max, info.min + 1) - info.min)
                    value = info.min + 1 if info.is_integer else middle
                    optimizer.set(hyperparam, value)
                    self.assertEqual(optimizer.get(hyperparam), value)
                    with self.assertRaisesRegex(NativeOptError, hyperparam):
                        optimizer.set(hyperparam, info.min - 0.5)
                    self.assertEqual(optimizer.get(hyperparam), value)
                for flag in rule.flags:
                    optimizer.set(flag, True)
                    self.assertTrue(optimizer.get(flag))
                if "nesterov" in rule.flags and "dampening" in rule.hyperparams:
                    optimizer.set("dampening", 0.0)  # nesterov needs it
                self.assertEqual(optimizer.roles(), ["param", "grad", *optimizer.hyperparams.states()])
                parameters.bind("grad", [FakeTensor([0x3F00, 0x3E80], "bfloat16")])
                bfloat16 = self.library.dtypes["bfloat16"].dtype
                if not any(info.dtypes >> bfloat16 & 1 for info in optimizer.hyperparams.states().values()):
                    optimizer.set("stochastic_rounding_states", False)  # it is about states of bfloat16
                for state, info in optimizer.hyperparams.states().items():
                    hyperparam = info.initial_hyperparam
                    of_rule = optimizer.hyperparams.values[hyperparam] if hyperparam >= 0 else info.initial_value
                    if info.dtypes >> bfloat16 & 1:
                        optimizer.set_dtypes(state, ["bfloat16"])
                        optimizer.bind(state, [FakeTensor([bfloat16_bits(of_rule)] * 2, "bfloat16")])
                    else:
                        optimizer.bind(state, [FakeTensor([of_rule] * 2)])
                for rule_input in rule.inputs:
                    optimizer.set_input_dtypes(rule_input, ["float32"])
                    optimizer.bind_input(rule_input, [FakeTensor([1.0, 1.0])])
                    optimizer.step()
                    optimizer.bind_input(rule_input, [None])
                for _ in range(2):  # the first step of adopt only fills a state
                    optimizer.step()
                self.assertEqual(optimizer.state.step, 2 + len(rule.inputs))
                self.assertNotEqual(list(param.values), [0x3F80, 0xC000], name)

    def test_hyperparameters_and_roles_that_a_rule_has_not(self) -> None:
        param = FakeTensor([1.0])
        with ParamSet(self.library, [param]) as parameters, Optimizer(parameters, "sgd") as optimizer:
            with self.assertRaisesRegex(NativeOptError, "beta1.*lr, weight_decay, momentum"):
                optimizer.set("beta1", 0.5)
            with self.assertRaisesRegex(ValueError, "sgd has no beta1; it has lr, weight_decay, momentum"):
                optimizer.get("beta1")
            with self.assertRaisesRegex(ValueError, "'exp_avg' is no role; param, grad, .*momentum_buffer are"):
                optimizer.bind("exp_avg", [param])
            with self.assertRaisesRegex(ValueError, "'momentum_buffer' is no role; .* Optimizer.bind"):
                parameters.bind("momentum_buffer", [param])
            with self.assertRaisesRegex(ValueError, "rule sgd has no input 'hessian'; it has none"):
                optimizer.bind_input("hessian", [param])
            with self.assertRaisesRegex(ValueError, "'int8' is no type of NativeOpt; float32, "):
                parameters.set_dtypes("grad", ["int8"])
            with self.assertRaisesRegex(NativeOptError, "nosuch"):
                Optimizer(parameters, "nosuch")

    def test_a_step(self) -> None:
        param, grad = FakeTensor([1.0, -2.0]), FakeTensor([0.5, 0.25])
        with ParamSet(self.library, [param]) as parameters, Optimizer(parameters, "sgd", lr=2.0) as optimizer:
            self.assertEqual(optimizer.roles(), ["param", "grad"])
            parameters.bind("grad", [grad])
            optimizer.step()
            self.assertEqual(optimizer.state.step, 1)
        self.assertEqual(list(param.values), [0.0, -2.5])

    def test_each_tensor_counts_its_own_steps(self) -> None:
        params = [FakeTensor([1.0]), FakeTensor([1.0])]
        states = {name: [FakeTensor([0.0]), FakeTensor([0.0])] for name in ("exp_avg", "exp_avg_sq")}
        with ParamSet(self.library, params) as parameters, Optimizer(parameters, "adam", lr=0.125) as optimizer:
            optimizer.set("eps", 0.0)
            for name, tensors in states.items():
                optimizer.bind(name, tensors)
            for grads in ([FakeTensor([3.0]), None], [FakeTensor([3.0]), FakeTensor([0.5])]):
                parameters.bind("grad", grads)
                optimizer.step()
            found = optimizer.tensor_states
            self.assertEqual([state.step for state in found], [2, 1])
            self.assertEqual(found[1].running[0], optimizer.get("beta1"))
            # With a constant gradient each step of a tensor is as long as the learning rate.
            self.assertAlmostEqual(params[0].values[0], 0.75, places=6)
            self.assertAlmostEqual(params[1].values[0], 0.875, places=6)

            optimizer.tensor_states = [found[1], found[0]]
            self.assertEqual([state.step for state in optimizer.tensor_states], [1, 2])

    def test_a_step_in_bfloat16(self) -> None:
        # 1 - 2^-8 - 2^-16 needs the remainder; the bfloat16 alone is 1 - 2^-8.
        for dtype, grad_values in (("bfloat16", [0x3B81]), ("float32", [2**-8 + 2**-15])):
            param, grad = FakeTensor([0x3F80], "bfloat16"), FakeTensor(grad_values, dtype)
            remainder = FakeTensor([0], "int16")
            with ParamSet(self.library, [param]) as parameters, Optimizer(parameters, "sgd") as optimizer:
                if dtype == "float32":
                    parameters.set_dtypes("grad", ["float32"])
                parameters.bind("grad", [grad])
                parameters.bind("param_remainder", [remainder])
                optimizer.set("lr", 1.0)
                optimizer.step()
            # 0x3B81 is 2^-8 + 2^-15.
            self.assertEqual((param.values[0], remainder.values[0]), (0x3F7F, 0xFE00))
            upper = param.values[0] - (remainder.values[0] >> 15)
            theta = array.array("I", [(upper << 16) + remainder.values[0]])
            self.assertEqual(array.array("f", theta.tobytes())[0], 1 - 2**-8 - 2**-15)

    def test_states_of_a_type_and_a_frozen_parameter(self) -> None:
        params = [FakeTensor([1.0]), FakeTensor([1.0])]
        states = [[FakeTensor([0], "bfloat16") for _ in params] for _ in range(2)]
        with ParamSet(self.library, params) as parameters, Optimizer(parameters, "adam") as optimizer:
            for name, tensors in zip(("exp_avg", "exp_avg_sq"), states):
                optimizer.set_dtypes(name, ["bfloat16"] * 2)
                optimizer.bind(name, tensors)
            parameters.bind("grad", [FakeTensor([1.0]), None])
            optimizer.set("lr", 0.5)
            optimizer.set("beta1", 0.5)
            optimizer.step()
            self.assertEqual(states[0][0].values[0], 0x3F00)  # 0.5
            self.assertEqual((states[0][1].values[0], params[1].values[0]), (0, 1.0))
            self.assertAlmostEqual(params[0].values[0], 0.5, places=2)

            for name in ("exp_avg", "grad"):
                optimizer.bind(name, None)
                optimizer.set_dtypes(name, None)
            with self.assertRaisesRegex(
                ValueError, r"exp_avg\[0\] is torch.bfloat16, expected is torch.float32"
            ):
                optimizer.bind("exp_avg", states[0])
            with self.assertRaisesRegex(ValueError, r"param_remainder\[0\] is torch.float32, .* torch.int16"):
                parameters.bind("param_remainder", params)
            with self.assertRaisesRegex(ValueError, r"exp_avg\[1\] is None"):
                optimizer.bind("exp_avg", [params[0], None])
            with self.assertRaisesRegex(ValueError, "grad: there are 1 types for 2 parameters"):
                parameters.set_dtypes("grad", ["float32"])
            with self.assertRaises(NativeOptError):
                parameters.set_dtypes("grad", ["dynamic8"] * 2)
        with self.assertRaisesRegex(ValueError, "torch.int16 is no type of NativeOpt"):
            ParamSet(self.library, [FakeTensor([0], "int16")])
        with self.assertRaises(NativeOptError):
            ParamSet(self.library, [FakeTensor([0], "uint8")])

    def test_states_of_8_bits(self) -> None:
        self.assertEqual([self.library.buffer_bytes("dynamic8", n) for n in (0, 256, 257)], [0, 260, 265])
        self.assertEqual(self.library.buffer_bytes("bfloat16", 7), 14)
        param, grad = FakeTensor([0.0, 0.0, 0.0]), FakeTensor([2.0, -2.0, 0.0])
        state = FakeTensor([0] * 7, "uint8")
        self.assertEqual(self.library.dtype_of(state), "dynamic8")
        with ParamSet(self.library, [param]) as parameters, Optimizer(parameters, "sgd") as optimizer:
            with self.assertRaisesRegex(ValueError, "torch.uint8, expected is torch.float32"):
                optimizer.bind("momentum_buffer", [state])
            optimizer.set_dtypes("momentum_buffer", [self.library.dtype_of(state)])
            with self.assertRaisesRegex(
                ValueError, r"momentum_buffer\[0\] has 3 bytes, dynamic8 takes 7 for the 3 elements"
            ):
                optimizer.bind("momentum_buffer", [FakeTensor([0] * 3, "uint8")])
            optimizer.bind("momentum_buffer", [state])
            parameters.bind("grad", [grad])
            optimizer.set("lr", 1.0)
            optimizer.set("momentum", 0.5)
            optimizer.step()
        self.assertEqual(array.array("f", state.values.tobytes()[:4])[0], 2.0)
        self.assertEqual(list(state.values[4:]), [128, 129, 0])  # 1, the lowest, 0
        self.assertEqual(list(param.values), [-2.0, 2.0, 0.0])

    def test_clipped_and_skipped_gradients(self) -> None:
        param, grad = FakeTensor([0.0, 0.0]), FakeTensor([12.0, -16.0])
        with ParamSet(self.library, [param]) as parameters, Optimizer(parameters, "sgd", lr=1.0) as optimizer:
            optimizer.set_capturable(True)
            parameters.bind("grad", [grad])
            flags = GradFlag.CLIP_NORM | GradFlag.CLIP_VALUE | GradFlag.SKIP_NONFINITE
            optimizer.set_grad_options(
                GradOptions(flags=flags, max_norm=0.5, max_value=0.375, loss_scale=4.0)
            )
            optimizer.step()
            status = optimizer.grad_status
            self.assertEqual((status.norm, status.skipped), (5.0, 0))
            self.assertAlmostEqual(status.clip_coefficient, 0.1, places=6)
            self.assertAlmostEqual(param.values[0], -0.3, places=6)
            self.assertEqual(param.values[1], 0.375)

            grad.values[0] = math.nan
            before = list(param.values)
            optimizer.step()
            self.assertEqual((list(param.values), optimizer.state.step), (before, 1))
            self.assertEqual((optimizer.grad_status.skipped, optimizer.grad_status.skipped_steps), (1, 1))

            optimizer.set_grad_options(None)
            grad.values[0] = 1.0
            optimizer.step()
            self.assertEqual(param.values[1], 16.375)
            with self.assertRaisesRegex(NativeOptError, "max_norm"):
                optimizer.set_grad_options(GradOptions(max_norm=1.0))

    def test_a_dimer(self) -> None:
        param, grad, zero = FakeTensor([1.0, -2.0]), FakeTensor([0.5, 0.25]), FakeTensor([0.0, 0.0])
        with ParamSet(self.library, [param]) as parameters, Optimizer(parameters, "sgd") as optimizer:
            options = self.library.dimer_defaults(displacement=0.5)
            with nativeopt.Dimer(optimizer) as dimer:
                self.assertEqual(dimer.roles(options), ["direction", "param_backup"])
                parameters.bind("grad", [grad])
                parameters.bind("direction", [zero])
                backup = FakeTensor([0.0, 0.0])
                parameters.bind("param_backup", [backup])
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
                parameters.bind("grad_backup", [param])
            self.assertEqual(caught.exception.status, nativeopt.Status.ERROR_OVERLAP)
            with self.assertRaisesRegex(ValueError, "grad: there are 2 tensors for 1 parameters"):
                parameters.bind("grad", [param, param])
            with self.assertRaisesRegex(ValueError, "has 2 elements, its parameter 1"):
                parameters.bind("grad", [FakeTensor([1.0, 2.0])])


if __name__ == "__main__":
    unittest.main()
