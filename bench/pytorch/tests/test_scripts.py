"""check.py and bench.py on the CPU."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time
import unittest
import unittest.mock
from types import SimpleNamespace

try:
    import torch
except ImportError as error:
    raise unittest.SkipTest("torch is not installed") from error

import bench
import check
import contenders
import cpu
import handwritten
import nativeopt
from nativeopt import Library
from timing import CudaTimer

FOLDER = pathlib.Path(__file__).parents[1]
LIBRARY = os.environ.get("NATIVEOPT_LIBRARY")
CPU = torch.device("cpu")


class HostEvent:
    def __init__(self, enable_timing: bool) -> None:
        self.at = 0.0

    def record(self) -> None:
        self.at = time.perf_counter()

    def synchronize(self) -> None:
        pass

    def elapsed_time(self, end: HostEvent) -> float:
        return (end.at - self.at) * 1e3


# torch.cuda as far as the timer needs it, for work that is done when a call returns.
HOST_CUDA = SimpleNamespace(
    Event=HostEvent, _sleep=lambda cycles: time.sleep(cycles * 1e-9), synchronize=lambda: None
)


def run(script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(FOLDER / script), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=600)


def quietly(group: object, checks: check.Checks) -> str:
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), torch.no_grad():
        group(checks)
    return printed.getvalue()


@unittest.skipUnless(LIBRARY, "NATIVEOPT_LIBRARY is not set")
class CheckTests(unittest.TestCase):
    def test_everything_passes_on_the_cpu(self) -> None:
        result = run("check.py", "--device", "cpu")
        self.assertEqual(result.returncode, 0, result.stdout + result.stderr)
        self.assertRegex(result.stdout.splitlines()[-1], r"^[1-9]\d+ passed, 0 failed$")

    def test_a_learning_rate_that_is_off_fails(self) -> None:
        class OffByALittle(Library):
            def defaults(self, rule: str, **changes: float):  # noqa: ANN202
                hyperparams = super().defaults(rule, **changes)
                hyperparams.set("lr", 1.001 * hyperparams.get("lr"))
                return hyperparams

        checks = check.Checks(OffByALittle(), CPU)
        printed = quietly(check.check_torch, checks)
        for name, *_ in check.TORCH_CASES:
            self.assertIn(f"FAILED {name}: as torch.optim", printed)
            self.assertIn(f"FAILED {name}, gradients that come and go: as torch.optim", printed)

    def test_a_nan_a_written_guard_and_other_bits_fail(self) -> None:
        checks = check.Checks(Library(), CPU)
        value = torch.tensor([1.0, 2.0])

        def group(checks: check.Checks) -> None:
            checks.close("nan", [torch.tensor([1.0, float("nan")])], [value], 1.0)
            checks.bits("bits", {"param": [value]}, {"param": [value * (1 + 1e-7)]})
            checks.bits("sign", {"param": [torch.zeros(1)]}, {"param": [-torch.zeros(1)]})
            with checks.group("raises"):
                raise ValueError("something")

        printed = quietly(group, checks)
        self.assertEqual((checks.passed, checks.failed), (0, 4), printed)
        arena = check.Arena(CPU, 1)
        self.assertTrue(arena.intact())
        arena.buffer[arena.tensors[3].storage_offset() - 1] = 0.0
        self.assertFalse(arena.intact())

    def test_masters_that_are_not_used_fail(self) -> None:
        class Forgets(Library):
            """Steps have neither masters nor remainders."""

            @property
            def nopt_param_set_bind(self):  # noqa: ANN202
                bind = self.__getattr__("nopt_param_set_bind")
                forgotten = [self.roles[name].role for name in ("master_param", "param_remainder")]
                return lambda handle, role, *rest: 0 if role in forgotten else bind(handle, role, *rest)

        checks = check.Checks(Forgets(), CPU)
        printed = quietly(check.check_precision, checks)
        for name, *_ in check.PRECISION_CASES:
            self.assertIn(f"FAILED {name}, bfloat16: master as float32 parameters", printed)
            self.assertIn(f"FAILED {name}, bfloat16: parameter and remainder together as master", printed)

    def test_options_of_gradients_that_are_off_fail(self) -> None:
        def off_by_a_little(skips: bool = False, **fields: float) -> nativeopt.GradOptions:
            return exact(**{name: 1.0001 * value for name, value in fields.items()})  # and skips nothing

        exact = check.grad_options
        checks = check.Checks(Library(), CPU)
        with unittest.mock.patch.object(check, "grad_options", off_by_a_little):
            printed = quietly(check.check_grads, checks) + quietly(check.check_skips, checks)
        for setting, fields in check.GRAD_SETTINGS:
            for rule, *_ in check.GRAD_CASES:
                for name in (f"{rule}: {setting}", f"{rule}, bfloat16, remainder: {setting}"):
                    if fields.get("max_norm") == 1e4:  # changes nothing
                        self.assertNotIn(f"FAILED {name}", printed)
                        continue
                    self.assertIn(f"FAILED {name}: as our plain step on torch's gradients", printed)
                    self.assertIn(f"FAILED {name}: as torch.optim behind it", printed)
        for name, _ in check.SKIP_CASES:
            for what in ("no byte changes", "counted apart", "as if they had never been"):
                self.assertIn(f"FAILED {name}: skipped steps: {what}", printed)

    def test_another_code_fails(self) -> None:
        def off_by_a_little(is_signed: bool, device: torch.device) -> torch.Tensor:
            numbers = exact(is_signed, device).clone()
            numbers[100] *= 1.0001
            return numbers

        exact = handwritten.dynamic_code
        handwritten.nearest_bytes.cache_clear()
        checks = check.Checks(Library(), CPU)
        with (
            unittest.mock.patch.object(handwritten, "dynamic_code", off_by_a_little),
            unittest.mock.patch.object(check, "COUNTS", [5000]),
        ):
            printed = quietly(check.check_dynamic8, checks)
        handwritten.nearest_bytes.cache_clear()
        for name, rule, *_ in check.DYNAMIC8_CASES:
            state = "momentum_buffer" if rule == "sgd" else "exp_avg_sq"
            self.assertIn(f"FAILED {name}, states of 8 bits: parameters as of the decoded states", printed)
            self.assertIn(f"FAILED {name}, states of 8 bits: {state} as encoded by hand", printed)

    def test_the_code_by_hand(self) -> None:
        for is_signed in (False, True):
            code = handwritten.dynamic_code(is_signed, CPU)
            self.assertEqual((len(code), len(code.unique()), code[0], code.max()), (256, 256, 0.0, 1.0))
            # The numbers themselves, beside a 1 that makes the scale 1; and a block of one element.
            values = torch.cat([code, code[:1]])
            state = torch.zeros(handwritten.dynamic8_bytes(len(values)), dtype=torch.uint8)
            handwritten.dynamic8_encode_(state, values, is_signed)
            self.assertEqual(list(state[4:260]), list(range(256)))
            self.assertEqual((len(state), state[264]), (265, 0))
        for byte, number in (
            (1, 0.55e-6),
            (127, 0.99296875),
            (128, 1.0),
            (129, -0.99296875),
            (255, -0.55e-6),
        ):
            self.assertAlmostEqual(
                handwritten.dynamic_code(True, CPU)[byte].item(), number, delta=1e-7 * abs(number)
            )
        state = torch.zeros(handwritten.dynamic8_bytes(300), dtype=torch.uint8)
        values = torch.ones(300)
        values[3] = float("inf")
        handwritten.dynamic8_encode_(state, values, True)
        decoded = handwritten.dynamic8_decoded(state, True)
        self.assertTrue(decoded[:256].isnan().all())
        self.assertTrue((decoded[256:] == 1).all())

    def test_a_parameter_and_its_remainder(self) -> None:
        for theta, param, remainder in (
            (0x3F808000, 0x3F81, -0x8000),  # a tie goes away from zero
            (0x3F807FFF, 0x3F80, 0x7FFF),
            (0x3F7FFFFF, 0x3F80, -1),
            (0x80000001 - (1 << 32), -0x8000, 1),
        ):
            upper = torch.tensor([param], dtype=torch.int16).view(torch.bfloat16)
            found = check.joined(upper, torch.tensor([remainder], dtype=torch.int16))
            self.assertEqual(found.view(torch.int32).item(), theta)

    def test_arenas_are_not_aligned(self) -> None:
        offsets = {tensor.storage_offset() % 4 for tensor in check.Arena(CPU, 1).tensors}
        self.assertEqual(offsets, {0, 1, 2, 3})
        offsets = {tensor.storage_offset() % 16 for tensor in check.Arena(CPU, None).tensors}
        self.assertEqual(offsets, {0})
        bytes_of = check.Arena(CPU, 1, dtype=torch.uint8)
        self.assertEqual({tensor.storage_offset() % 16 for tensor in bytes_of.tensors}, {0, 4, 8, 12})
        self.assertTrue(bytes_of.intact())


@unittest.skipUnless(LIBRARY, "NATIVEOPT_LIBRARY is not set")
class BenchTests(unittest.TestCase):
    def test_a_small_run(self) -> None:
        with tempfile.TemporaryDirectory() as out:
            small = ["--shapes", "120x64,2x5000", "--repeats", "3", "--seconds", "0.01"]
            result = run("bench.py", "--device", "cpu", *small, "--out", out)
            self.assertEqual(result.returncode, 0, result.stderr)
            results = json.loads((pathlib.Path(out) / "results.json").read_text(encoding="utf-8"))
            self.assertEqual(
                (pathlib.Path(out) / "results.md").read_text(encoding="utf-8"), result.stdout[:-1]
            )
        self.assertEqual(results["stopped"], "")
        self.assertEqual(len(results["items"]), 2 * 12)
        for item in results["items"]:
            self.assertLessEqual({"nativeopt", "foreach"}, set(item["times"]), item)
            # Whoever is missing has a reason.
            expected = {"nativeopt", "foreach", "loop", "compile"}
            if item["rule"].startswith(("sgd", "ada")):
                expected = {"nativeopt", "fused", "foreach", "loop"}
                if item["tensors"] == 120:
                    expected.add("nativeopt_bound")
            self.assertEqual(set(item["times"]) | set(item["left_out"]), expected)
            self.assertEqual(item["disagree"], [])
            for times in item["times"].values():
                self.assertEqual(set(times), {"step", "first"})
                for summary in times.values():
                    self.assertEqual(summary["count"], 3)
                    self.assertGreater(summary["median"], 0.0)
                    self.assertLessEqual(summary["q1"], summary["q3"])
        self.assertEqual({row["tensors"] for row in results["host"]}, {148, 10_000})
        self.assertEqual([bar["verdict"] for bar in results["bars"]], ["not measured"] * 4)

    def test_a_run_in_both_types(self) -> None:
        rules = ["adam", "adam_bfloat16", "adam_float32_states"]
        rules += ["adam_remainder", "adamw_remainder", "adamw_stochastic"]
        rules += ["dualadam_remainder", "dualadam_stochastic"]
        with tempfile.TemporaryDirectory() as out:
            small = ["--shapes", "3x64", "--repeats", "3", "--seconds", "0.05", "--rules", ",".join(rules)]
            result = run("bench.py", "--device", "cpu", *small, "--dtype", "bfloat16,float32", "--out", out)
            self.assertEqual(result.returncode, 0, result.stderr)
            results = json.loads((pathlib.Path(out) / "results.json").read_text(encoding="utf-8"))
        self.assertEqual([item["rule"] for item in results["items"]], rules)
        for item in results["items"]:
            self.assertLessEqual({"nativeopt", "foreach"}, set(item["times"]), item)
            kind = item["rule"].split("_", 1)[1:]
            bytes_per_element = {"remainder": 26, "stochastic": 14, "bfloat16": 14, "float32_states": 22}
            self.assertEqual(item["bytes_per_element"], bytes_per_element[kind[0]] if kind else 28)
            # The page says how the compared differ.
            self.assertEqual(bool(item["note"]), item["rule"] != "adam")
            self.assertIn(f"| 3 × 64, {item['rule']} |", result.stdout)
            if item["note"]:
                self.assertIn(f"- {item['rule']}: {item['note']}", result.stdout)

    def test_a_run_with_states_of_8_bits(self) -> None:
        with tempfile.TemporaryDirectory() as out:
            small = ["--shapes", "2x64,3x600", "--repeats", "3", "--seconds", "0.05", "--out", out]
            result = run("bench.py", "--device", "cpu", "--dtype", "dynamic8", *small)
            self.assertEqual(result.returncode, 0, result.stderr)
            results = json.loads((pathlib.Path(out) / "results.json").read_text(encoding="utf-8"))
        rules = ["adamw_dynamic8", "invadam_dynamic8", "dualadam_dynamic8"]
        self.assertEqual([item["rule"] for item in results["items"]], rules * 2)
        for item in results["items"]:
            self.assertEqual(item["bytes_per_element"], 4 + 4 + 4 + 2 * 2 * (1 + 4 / 256))
            self.assertLessEqual({"nativeopt", "foreach", "loop"}, set(item["times"]), item)
            self.assertIn(f"- {item['rule']}: {item['note']}", result.stdout)
            peers = {"foreach", "loop"}
            if item["rule"] == "adamw_dynamic8":
                peers |= {"fused", "bitsandbytes"}
            self.assertEqual(set(item["times"]) | set(item["left_out"]), {"nativeopt"} | peers)
        if importlib.util.find_spec("bitsandbytes") is None:
            self.assertIn("- bitsandbytes: bitsandbytes is not installed (adamw_dynamic8 on 2x64", result.stdout)

    def test_bitsandbytes_takes_part_where_it_is_installed(self) -> None:
        class AdamW8bit(torch.optim.AdamW):
            def __init__(self, params: list[torch.Tensor], min_8bit_size: int, **options: float) -> None:
                self.min_8bit_size = min_8bit_size
                super().__init__(params, **options)

        installed = SimpleNamespace(optim=SimpleNamespace(AdamW8bit=AdamW8bit))
        row = next(row for row in bench.ROWS if row.name == "adamw_dynamic8")
        workload = bench.Workload(Library(), [64], CPU)
        with unittest.mock.patch.dict(
            sys.modules, {"bitsandbytes": installed}
        ), contextlib.ExitStack() as closing:
            contender = row.peers["bitsandbytes"](workload, closing)
            before = workload.params[0].clone()
            contender.run()
            self.assertFalse(torch.equal(workload.params[0], before))
            self.assertEqual(contender.run.__self__.min_8bit_size, 1)

    def test_remainders_have_parameters_of_their_own(self) -> None:
        row = next(row for row in bench.ROWS if row.name == "adamw_remainder")
        with contextlib.ExitStack() as closing:
            workload = bench.Workload(Library(), [64], CPU, bench.DTYPES[row.dtype])
            before = workload.params[0].clone()
            row.ours(workload, closing).run()
            self.assertTrue(torch.equal(workload.params[0], before))
            row.peers["foreach"](workload, closing).run()
            self.assertFalse(torch.equal(workload.params[0], before))

    def test_a_run_with_the_timer_of_cuda(self) -> None:
        with tempfile.TemporaryDirectory() as out:
            small = ["--shapes", "3x64", "--rules", "adam,deo_update", "--repeats", "3", "--seconds", "0.05"]
            arguments = ["bench.py", "--device", "cpu", *small, "--out", out]
            timer = CudaTimer(1024, "cpu", HOST_CUDA)
            quiet = io.StringIO()
            with (
                unittest.mock.patch.object(sys, "argv", arguments),
                unittest.mock.patch.object(bench, "make_timer", lambda device: timer),
                contextlib.redirect_stdout(quiet),
                contextlib.redirect_stderr(quiet),
            ):
                self.assertEqual(bench.main(), 0)
            results = json.loads((pathlib.Path(out) / "results.json").read_text(encoding="utf-8"))
        self.assertEqual(len(results["items"]), 2)
        for item in results["items"]:
            self.assertLessEqual({"nativeopt", "copy", "foreach"}, set(item["times"]), item)
            self.assertEqual(set(item["times"]["copy"]), {"cold", "warm", "back_to_back"})
            self.assertGreater(item["of_copy"], 0.0)
        calls = {row["call"] for row in results["host"]}
        self.assertLessEqual(
            {"step", "bind gradients, every address new, and step", "torch's AdamW(foreach=True)"}, calls
        )

    def test_programs_for_the_compiler(self) -> None:
        # torch 1 has none; that of torch 2 does more than these scripts ask of it.
        compiler = getattr(torch, "compiler", SimpleNamespace(reset=lambda: None))
        quiet = io.StringIO()
        rules = "invadam,dualadam,deo_cached,deo_update,deo_displace,deo_displace_keep"
        small = ["--shapes", "3x64", "--rules", rules, "--repeats", "3", "--seconds", "0.05"]
        with tempfile.TemporaryDirectory() as out:
            arguments = ["bench.py", "--device", "cpu", *small, "--out", out]
            with (
                unittest.mock.patch.object(sys, "argv", arguments),
                unittest.mock.patch.object(torch, "compile", lambda function: function, create=True),
                unittest.mock.patch.object(torch, "compiler", compiler, create=True),
                contextlib.redirect_stdout(quiet),
                contextlib.redirect_stderr(quiet),
            ):
                self.assertEqual(bench.main(), 0)
            results = json.loads((pathlib.Path(out) / "results.json").read_text(encoding="utf-8"))
        for item in results["items"]:
            self.assertIn("compile", item["times"], item)

    def test_steps_that_differ_are_left_out_and_fail(self) -> None:
        class Slower(torch.optim.AdamW):
            def __init__(self, params: list[torch.Tensor], lr: float = 0.9e-3, **options: float) -> None:
                super().__init__(params, lr=lr, **options)

        rows = contenders.torch_rows("adamw", 2, "adam", Slower, {"decoupled_weight_decay": True, "weight_decay": 0.01})
        small = ["--shapes", "3x64", "--rules", "adamw", "--peers", "foreach", "--repeats", "3", "--seconds", "0.01"]
        with tempfile.TemporaryDirectory() as out:
            quiet = io.StringIO()
            with (
                unittest.mock.patch.object(sys, "argv", ["bench.py", "--device", "cpu", *small, "--out", out]),
                unittest.mock.patch.object(bench, "ROWS", rows),
                contextlib.redirect_stdout(quiet),
                contextlib.redirect_stderr(quiet),
            ):
                self.assertEqual(bench.main(), 1)
            results = json.loads((pathlib.Path(out) / "results.json").read_text(encoding="utf-8"))
        self.assertEqual(results["items"][0]["disagree"], ["foreach"])
        self.assertEqual(set(results["items"][0]["times"]), {"nativeopt"})
        self.assertRegex(results["items"][0]["left_out"]["foreach"], "192 of 192 parameters differ after 3 steps")

    def test_ours_find_gradients_that_are_elsewhere(self) -> None:
        row = next(row for row in bench.ROWS if row.name == "adam")
        with contextlib.ExitStack() as closing:
            workload = bench.Workload(Library(), [64], CPU).clone(collects_grads=True)
            with_grads: list[torch.Tensor] = []
            aliases = workload.aliases_with_grads
            workload.aliases_with_grads = lambda: with_grads.extend(aliases()) or with_grads
            contender = row.ours(workload, closing)
            contender.run()
            before = workload.params[0].clone()
            with_grads[0].grad = torch.full((64,), float("nan"))
            contender.run()
            self.assertFalse(before.isnan().any())
            self.assertTrue(workload.params[0].isnan().all())

    def test_what_takes_too_long_is_ended(self) -> None:
        with self.assertRaisesRegex(TimeoutError, "took more than"):
            with bench.time_limit(0.01):
                while True:
                    pass
        self.assertEqual(signal.getitimer(signal.ITIMER_REAL)[0], 0.0)

    def test_what_a_run_on_cuda_says_of_itself(self) -> None:
        properties = SimpleNamespace(
            name="NVIDIA H100", multi_processor_count=132, total_memory=80 << 30, L2_cache_size=50 << 20
        )
        with (
            unittest.mock.patch.object(torch.cuda, "get_device_properties", lambda device: properties),
            unittest.mock.patch.object(bench, "output_of", lambda *command: f"what {command[0]} says"),
        ):
            found = bench.environment(Library(), torch.device("cuda", 0))
        self.assertEqual(found["device"], "NVIDIA H100, 132 processors, 80 GiB, 50 MiB of L2")
        self.assertEqual(found["driver"], "what nvidia-smi says")
        self.assertIn("commit what git says", found["NativeOpt"])

    def test_an_interrupted_run_keeps_what_it_has(self) -> None:
        with tempfile.TemporaryDirectory() as out:
            path = pathlib.Path(out) / "results.json"
            command = [
                sys.executable,
                str(FOLDER / "bench.py"),
                "--device",
                "cpu",
                "--seconds",
                "0.2",
                "--out",
                out,
            ]
            with subprocess.Popen(
                command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
            ) as process:
                try:
                    while process.poll() is None:
                        if path.exists() and json.loads(path.read_text(encoding="utf-8"))["items"]:
                            process.send_signal(signal.SIGINT)
                            break
                        time.sleep(0.05)
                    printed, said = process.communicate(timeout=120)
                finally:
                    process.kill()
            self.assertEqual(process.returncode, 130, said)
            results = json.loads(path.read_text(encoding="utf-8"))
            self.assertEqual(results["stopped"], "interrupted")
            self.assertGreater(len(results["items"]), 0)
            self.assertIn("**Not complete**: interrupted.", printed)

    def test_bad_arguments(self) -> None:
        for arguments, message in (
            (["--device", "cpu", "--shapes", "gpt9"], "'gpt9' is no shape"),
            (["--device", "cpu", "--rules", "adam,lion"], "'lion' is no rule"),
            (["--device", "cpu", "--rules", "adam_remainder"], "'adam_remainder' is no rule of float32"),
            (
                ["--device", "cpu", "--dtype", "bfloat16,int8"],
                "'int8' is no type; give some of float32, bfloat16, dynamic8",
            ),
            (["--device", "cpu", "--repeats", "0"], "--repeats is 0; it must be more than 0"),
            (["--device", "cpu", "--threads", "0"], "--threads is 0; it must be 1 to 1024"),
            (["--device", "cpu", "--peers", "fast"], "'fast' is no peer; give some of fused, foreach"),
            (["--device", "abacus"], "--device abacus"),
            (["--device", "cpu", "--library", "nothing.so"], "nothing.so cannot be loaded"),
        ):
            result = run("bench.py", *arguments)
            self.assertEqual(result.returncode, 2, result.stderr)
            self.assertIn(message, result.stderr)


@unittest.skipUnless(LIBRARY, "NATIVEOPT_LIBRARY is not set")
class CpuTests(unittest.TestCase):
    def test_a_small_run(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            out = pathlib.Path(folder) / "cpu.md"
            result = run("cpu.py", "--shapes", "3x64", "--seconds", "0.01", "--threads", "1", "--out", str(out))
            self.assertEqual(result.returncode, 0, result.stderr)
            page = out.read_text(encoding="utf-8")
        self.assertEqual(page, result.stdout[:-1])
        self.assertIn("- threads: 1 of torch, 1 of NativeOpt", page)
        self.assertNotIn("Not complete", page)
        for waiting in cpu.WAITING:
            for rule in cpu.RULES_OF_WAITING.split(","):
                self.assertIn(f"| 3 × 64, {rule} | {waiting} |", page)
        for rule in cpu.RULES.split(","):
            self.assertIn(f"| 3 × 64, {rule} | ", page)

    def test_what_cannot_be_run(self) -> None:
        result = run("cpu.py", "--shapes", "gpt9")
        self.assertEqual(result.returncode, 2, result.stderr)
        self.assertIn("'gpt9' is no shape", result.stderr)

    def test_an_interrupted_run_keeps_what_it_has(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            out = pathlib.Path(folder) / "cpu.md"
            command = [sys.executable, str(FOLDER / "cpu.py"), "--shapes", "3x64", "--out", str(out)]
            with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
                try:
                    for line in process.stderr:
                        if "3x64: adam " in line:
                            process.send_signal(signal.SIGINT)
                            break
                    printed, said = process.communicate(timeout=120)
                finally:
                    process.kill()
            self.assertEqual(process.returncode, 130, said)
            self.assertEqual(out.read_text(encoding="utf-8"), printed[:-1])
        self.assertIn("**Not complete**: interrupted.", printed)
        self.assertIn("| 3 × 64, sgd_momentum |", printed)


if __name__ == "__main__":
    unittest.main()
