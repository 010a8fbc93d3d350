#!/usr/bin/env python3
"""Checks NativeOpt's steps on tensors of torch, before anything is timed.

    python3 bench/pytorch/check.py --library artifacts/cmake/cuda/native/libnativeopt.so
    python3 bench/pytorch/check.py --library artifacts/cmake/release/native/libnativeopt.so --device cpu

Against torch.optim in float32, also where tensors have no gradient in some steps, and after torch's own clipping of
gradients; against the equations in float64; against 8-bit states decoded and encoded by hand; and against the CPU
backend's bits; all on views that are not aligned, with guards around them. Exit status 0: everything passed; 1:
something failed; 2: it could not be run.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor

import handwritten
from device import open_device
from nativeopt import (
    Dimer,
    DimerAngle,
    DimerCorrection,
    DimerForce,
    DimerOptions,
    DimerRotation,
    DimerScope,
    GradFlag,
    GradOptions,
    Hyperparams,
    Library,
    LibraryError,
    Optimizer,
    ParamSet,
)

# An empty tensor, odd sizes, and some that are longer than a chunk of the kernels.
COUNTS = [0, 1, 3, 17, 64, 1000, 4097, 16384, 65537, 150001]
STEPS = 20
GUARD = 48.0  # is itself in every type
GAP = 32  # units of an arena

# Of the norm of the differences to that of the values, and of the largest difference to the largest value: 20
# steps round each element some 100 times, each time by 6e-8 at most.
TOLERANCE = 2e-6
DIMER_TOLERANCE = 5e-6  # sums and differences of gradients come on top

# Among the element types of roles: the type of all states of the rule, whatever they are.
STATES = "states"

ADAMW = {"decoupled_weight_decay": True, "weight_decay": 0.1}
CPU = torch.device("cpu")


class Arena:
    """Tensors cut out of one buffer, with guards between them. `turn` is None for aligned ones; otherwise the
    tensors begin 0 to 3 units past an aligned address in turn, those of other turns elsewhere. A unit is an
    element, or the 4 bytes to which states of 8 bits are aligned."""

    def __init__(
        self,
        device: torch.device,
        turn: int | None,
        fill: list[Tensor] | None = None,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        unit = 4 if dtype == torch.uint8 else 1
        sizes = [handwritten.dynamic8_bytes(count) if dtype == torch.uint8 else count for count in COUNTS]
        starts = []
        end = 0
        for i, size in enumerate(sizes):
            aligned = (end + GAP + 15) // 16 * 16
            starts.append(aligned + (0 if turn is None else (i + turn) % 4))
            end = starts[-1] + math.ceil(size / unit)
        length = (end + GAP) * unit
        self.buffer = torch.full((length,), GUARD, device=device).to(dtype)
        self.guards = torch.ones(length, dtype=torch.bool, device=device)
        self.tensors = []
        for start, size in zip(starts, sizes):
            cut = slice(start * unit, start * unit + size)
            self.tensors.append(self.buffer[cut])
            self.guards[cut] = False
        self.set(fill)

    def set(self, values: list[Tensor] | None) -> None:
        for i, tensor in enumerate(self.tensors):
            tensor.zero_() if values is None else tensor.copy_(values[i])

    def intact(self) -> bool:
        return bool((self.buffer[self.guards] == GUARD).all())


class Source:
    """Random tensors, the same ones for every device."""

    def __init__(self, seed: int) -> None:
        self.generator = torch.Generator().manual_seed(seed)

    def draw(self, scale: float) -> list[Tensor]:
        return [torch.randn(count, generator=self.generator) * scale for count in COUNTS]


class Ours:
    """An optimizer of NativeOpt over arenas, perhaps with a dimer."""

    def __init__(
        self,
        closing: ExitStack,
        library: Library,
        device: torch.device,
        rule: str,
        hyperparams: Hyperparams,
        params: list[Tensor],
        aligned: bool = False,
        options: DimerOptions | None = None,
        scope: DimerScope = DimerScope.GLOBAL,
        backs_up_grads: bool = True,
        dtypes: dict[str, torch.dtype] | None = None,
        grad_options: GradOptions | None = None,
    ) -> None:
        """`dtypes` has the roles that are not float32, and masters or remainders if there are to be any. States of
        8 bits are torch.uint8."""
        self.device = device
        self.dtypes = dict(dtypes or {})
        of_states = self.dtypes.pop(STATES, None)
        if of_states is not None:
            self.dtypes |= dict.fromkeys(hyperparams.states(), of_states)
        self.aligned = aligned
        self.arenas: dict[str, Arena] = {}
        self.arenas["param"] = self.arena("param", params)
        self.parameters = closing.enter_context(ParamSet(library, self.arenas["param"].tensors))
        self.optimizer = closing.enter_context(Optimizer(self.parameters, rule))
        self.optimizer.hyperparams = hyperparams
        if grad_options is not None:
            # Where the device decides whether a step is skipped, it has to count them.
            self.optimizer.set_capturable(bool(grad_options.flags & GradFlag.SKIP_NONFINITE), self.stream)
            self.optimizer.set_grad_options(grad_options)
        roles = self.optimizer.roles()
        beside_params = [role for role in ("master_param", "param_remainder") if role in self.dtypes]
        roles += beside_params
        self.dimer: Dimer | None = None
        self.options = options
        if options is not None:
            self.dimer = closing.enter_context(Dimer(self.optimizer, scope))
            roles += self.dimer.roles(options)
            roles.append("grad_backup" if backs_up_grads else "grad_displaced")
        self.displaced_role = "grad" if backs_up_grads else "grad_displaced"
        for role in roles:
            if role == "param":
                continue
            self.arenas[role] = self.arena(role)
            if role == "grad" or (role in self.dtypes and role not in beside_params):
                self.optimizer.set_dtypes(role, [library.dtype_of(tensor) for tensor in self.tensors(role)])
            self.optimizer.bind(role, self.arenas[role].tensors)
        if "master_param" in beside_params:  # it begins as its parameter is, rounded
            self.arenas["master_param"].set(self.tensors("param"))
        # Gradients lie elsewhere at every other step, as a framework's do.
        self.other_grads = self.arena("grad")

    def arena(self, role: str, fill: list[Tensor] | None = None) -> Arena:
        turn = None if self.aligned else len(self.arenas) + 1
        return Arena(self.device, turn, fill, self.dtypes.get(role, torch.float32))

    @property
    def stream(self) -> int | None:
        return torch.cuda.current_stream(self.device).cuda_stream if self.device.type == "cuda" else None

    def tensors(self, role: str) -> list[Tensor]:
        return self.arenas[role].tensors

    def theta(self) -> list[Tensor]:
        """The parameters with their remainders, as float32."""
        params = self.tensors("param")
        if "param_remainder" not in self.arenas:
            return [param.cpu().float() for param in params]
        return [joined(*pair) for pair in zip(params, self.tensors("param_remainder"))]

    def kept(self) -> dict[str, list[Tensor]]:
        """All that a step writes, beside parameters and remainders, which are theta."""
        others = ("param", "grad", "param_remainder")
        return {role: arena.tensors for role, arena in self.arenas.items() if role not in others}

    def set_grads(self, values: list[Tensor | None], role: str = "grad") -> None:
        """A gradient that is None leaves its tensor without one."""
        if role == "grad":
            self.arenas[role], self.other_grads = self.other_grads, self.arenas[role]
        tensors = self.tensors(role)
        self.arenas[role].set([tensor if value is None else value for tensor, value in zip(tensors, values)])
        self.parameters.bind(role, [None if value is None else tensor for tensor, value in zip(tensors, values)])

    def step(self, grads: list[Tensor | None]) -> None:
        self.set_grads(grads)
        self.optimizer.step(self.stream)

    def dimer_step(self, grads: list[Tensor]) -> None:
        self.set_grads(grads)
        self.dimer.step(self.options, self.stream)

    def displace(self, grads: list[Tensor]) -> None:
        self.set_grads(grads)
        self.dimer.displace(self.options, self.stream)

    def rotate(self, displaced_grads: list[Tensor]) -> None:
        self.set_grads(displaced_grads, self.displaced_role)
        self.dimer.rotate(self.options, self.stream)

    def end_update(self, displaced_grads: list[Tensor]) -> None:
        self.set_grads(displaced_grads, self.displaced_role)
        self.dimer.step(self.options, self.stream)

    def intact(self) -> bool:
        return self.other_grads.intact() and all(arena.intact() for arena in self.arenas.values())

    def synchronize(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)


def errors(ours: list[Tensor], theirs: list[Tensor]) -> tuple[float, float]:
    """Of the norm and of the largest element, relative; NaN where there is one."""
    a = torch.cat([tensor.detach().cpu().double().flatten() for tensor in ours])
    b = torch.cat([tensor.detach().cpu().double().flatten() for tensor in theirs])
    difference = a - b
    return (difference.norm() / b.norm()).item(), (difference.abs().max() / b.abs().max()).item()


def bits_of(tensor: Tensor) -> Tensor:
    integers = {4: torch.int32, 2: torch.int16, 1: torch.uint8}[tensor.element_size()]
    return tensor.cpu().contiguous().view(integers)


def same_bits(ours: list[Tensor], theirs: list[Tensor]) -> bool:
    return all(a.dtype == b.dtype and torch.equal(bits_of(a), bits_of(b)) for a, b in zip(ours, theirs))


def joined(param: Tensor, remainder: Tensor) -> Tensor:
    """The float32 that a bfloat16 and its remainder are. The bfloat16 went up where the remainder's first bit is 1."""
    lower = bits_of(remainder).to(torch.int32) & 0xFFFF
    upper = bits_of(param).to(torch.int32) - (lower >> 15)
    return (upper * 65536 + lower).view(torch.float32)


class Checks:
    """Runs checks one by one, says how each went, and counts."""

    def __init__(self, library: Library, device: torch.device) -> None:
        self.library = library
        self.device = device
        self.passed = 0
        self.failed = 0

    def expect(self, name: str, holds: bool, found: str) -> None:
        print(f"{'ok    ' if holds else 'FAILED'} {name}: {found}", flush=True)
        if holds:
            self.passed += 1
        else:
            self.failed += 1

    def close(self, name: str, ours: list[Tensor], theirs: list[Tensor], tolerance: float) -> None:
        self.all_close(name, [(ours, theirs)], tolerance)

    def all_close(
        self, name: str, pairs: Iterable[tuple[list[Tensor], list[Tensor]]], tolerance: float
    ) -> None:
        """Of several roles, each by itself; says the worst."""
        found = [errors(ours, theirs) for ours, theirs in pairs]
        # In this order a NaN fails.
        holds = all(norm <= tolerance and largest <= tolerance for norm, largest in found)
        norm, largest = (max(column) for column in zip(*found))
        self.expect(name, holds, f"error {norm:.1e}, largest {largest:.1e}")

    def bits(self, name: str, ours: dict[str, list[Tensor]], theirs: dict[str, list[Tensor]]) -> None:
        wrong = [role for role in ours if not same_bits(ours[role], theirs[role])]
        self.expect(name, not wrong, f"other bits in {', '.join(wrong)}" if wrong else "same bits")

    @contextmanager
    def group(self, name: str) -> Iterator[ExitStack]:
        """Whatever is raised within fails, and the next group is run."""
        try:
            with ExitStack() as closing:
                yield closing
        except Exception as error:
            self.expect(name, False, f"{type(error).__name__}: {error}")

    def guards(self, name: str, ours: Ours) -> None:
        self.expect(
            name,
            ours.intact(),
            "guards around the tensors as they were" if ours.intact() else "GUARD WRITTEN",
        )


# ---- against torch.optim ----

# Name, rule, changes to the defaults, torch's optimizer and its options. Torch's states have the library's names.
TorchCase = tuple[str, str, dict[str, Any], Any, dict[str, Any]]
TORCH_CASES: list[TorchCase] = [
    ("Adam", "adam", {}, torch.optim.Adam, {}),
    ("Adam, L2", "adam", {"weight_decay": 0.1}, torch.optim.Adam, {"weight_decay": 0.1}),
    (
        "Adam, AMSGrad",
        "adam",
        {"amsgrad": True, "beta2": 0.9},
        torch.optim.Adam,
        {"amsgrad": True, "betas": (0.9, 0.9)},
    ),
    ("AdamW", "adam", ADAMW, torch.optim.AdamW, {"weight_decay": 0.1}),
    (
        "AdamW, AMSGrad, maximize",
        "adam",
        {**ADAMW, "amsgrad": True, "maximize": True},
        torch.optim.AdamW,
        {"weight_decay": 0.1, "amsgrad": True, "maximize": True},
    ),
    ("SGD", "sgd", {}, torch.optim.SGD, {}),
    (
        "SGD, momentum, L2",
        "sgd",
        {"momentum": 0.9, "weight_decay": 0.1},
        torch.optim.SGD,
        {"momentum": 0.9, "weight_decay": 0.1},
    ),
    (
        "SGD, Nesterov",
        "sgd",
        {"momentum": 0.9, "nesterov": True},
        torch.optim.SGD,
        {"momentum": 0.9, "nesterov": True},
    ),
]


def is_absent(t: int, i: int) -> bool:
    """Whether tensor i has no gradient at step t: one tensor comes late, some have every other or third gradient."""
    return t < STEPS // 2 if i == len(COUNTS) - 1 else i % 3 != 0 and (t + i) % (1 + i % 3) != 0


def check_torch(checks: Checks) -> None:
    for seed, case in enumerate(TORCH_CASES):
        check_torch_case(checks, seed, case, "", lambda t, i: False)
        check_torch_case(checks, seed, case, ", gradients that come and go", is_absent)


def check_torch_case(
    checks: Checks, seed: int, case: TorchCase, suffix: str, absent: Callable[[int, int], bool]
) -> None:
    """A tensor without a gradient does not step, nor does its step count: `absent` says when."""
    rule_name, rule, changes, torch_type, options = case
    name = rule_name + suffix
    with checks.group(name) as closing:
        source = Source(seed)
        start = source.draw(0.5)
        hyperparams = checks.library.defaults(rule, lr=0.01, **changes)
        ours = Ours(closing, checks.library, checks.device, rule, hyperparams, start)
        theirs = [param.to(checks.device, copy=True) for param in start]
        optimizer = torch_type(theirs, lr=0.01, foreach=False, **options)
        for t in range(STEPS):
            # They get smaller, so that AMSGrad's maximum is not the last value.
            grads = source.draw(1 / (t + 1))
            given = [None if absent(t, i) else grad for i, grad in enumerate(grads)]
            ours.step(given)
            for param, grad in zip(theirs, given):
                param.grad = None if grad is None else grad.to(checks.device)
            optimizer.step()
        checks.close(f"{name}: as torch.optim", ours.tensors("param"), theirs, TOLERANCE)
        for state in hyperparams.states():
            found = [optimizer.state[param][state] for param in theirs]
            checks.close(f"{name}: {state} as torch.optim", ours.tensors(state), found, TOLERANCE)
        counts = [state.step for state in ours.optimizer.tensor_states]
        expected = [sum(not absent(t, i) for t in range(STEPS)) for i in range(len(COUNTS))]
        checks.expect(f"{name}: step counts of the tensors", counts == expected, f"{counts}")
        checks.guards(name, ours)


# ---- against the equations in float64 ----

RULE_CASES: list[tuple[str, str, dict[str, Any]]] = [
    ("Adam", "adam", {}),
    ("AdamW, AMSGrad", "adam", {**ADAMW, "amsgrad": True, "beta2": 0.9}),
    ("InvAdam", "invadam", {"lr": 0.05}),
    ("InvAdam, L2, maximize", "invadam", {"lr": 0.05, "weight_decay": 0.1, "maximize": True}),
    ("DualAdam", "dualadam", {"switching_rate": 0.06}),  # Adam from step 17 on
    (
        "DualAdam, inverse epsilon, decoupled decay",
        "dualadam",
        {**ADAMW, "switching_rate": 0.02, "eps": 0.05, "inverse_epsilon": True},
    ),
    ("SGD, Nesterov", "sgd", {"momentum": 0.9, "nesterov": True}),
]


def check_rules(checks: Checks) -> None:
    for seed, (name, rule, changes) in enumerate(RULE_CASES):
        with checks.group(name) as closing:
            source = Source(100 + seed)
            start = source.draw(0.5)
            hyperparams = checks.library.defaults(rule, **{"lr": 0.01, **changes})
            ours = Ours(closing, checks.library, checks.device, rule, hyperparams, start)
            exact = [param.double() for param in start]
            reference = handwritten.Rule(rule, exact, hyperparams, "loop")
            # The peers of bench.py are to compute the same.
            plain = rule != "sgd" and hyperparams.flags == 0 and hyperparams.get("weight_decay") == 0
            peers = {
                style: handwritten.Rule(
                    rule, [p.to(checks.device, copy=True) for p in start], hyperparams, style
                )
                for style in (("loop", "foreach", "expression") if plain else ("loop",))
            }
            for t in range(STEPS):
                grads = source.draw(1 / (t + 1))
                ours.step(grads)
                reference.step([grad.double() for grad in grads])
                for peer in peers.values():
                    peer.step([grad.to(checks.device) for grad in grads])
            checks.close(f"{name}: as in float64", ours.tensors("param"), exact, TOLERANCE)
            for state, expected in reference.states.items():
                checks.close(f"{name}: {state} as in float64", ours.tensors(state), expected, TOLERANCE)
            for style, peer in peers.items():
                checks.close(f"{name}: the peer by {style} as in float64", peer.params, exact, TOLERANCE)
            checks.guards(name, ours)


# ---- bfloat16 against float32 ----

HALF = {"param": torch.bfloat16, "grad": torch.bfloat16}
MASTERS = {**HALF, "master_param": torch.float32}
REMAINDERS = {**HALF, "param_remainder": torch.int16}
DYNAMIC8_STATES = {STATES: torch.uint8}
HALF_STATES = {**HALF, STATES: torch.bfloat16}
STOCHASTIC = {**ADAMW, "stochastic_rounding": True, "rounding_seed": 7}
PRECISION_CASES: list[tuple[str, str, dict[str, Any]]] = [
    ("AdamW", "adam", ADAMW),
    ("DualAdam", "dualadam", {"switching_rate": 0.06}),
    ("SGD, momentum", "sgd", {"momentum": 0.9}),
]


def check_precision(checks: Checks) -> None:
    """With a master or a remainder, theta is what float32 parameters would be, bit for bit."""
    for seed, (rule_name, rule, changes) in enumerate(PRECISION_CASES):
        name = f"{rule_name}, bfloat16"
        with checks.group(name) as closing:
            source = Source(500 + seed)
            start = [param.bfloat16().float() for param in source.draw(0.5)]
            hyperparams = checks.library.defaults(rule, lr=0.01, **changes)

            def make(dtypes: dict[str, torch.dtype]) -> Ours:
                return Ours(closing, checks.library, checks.device, rule, hyperparams, start, dtypes=dtypes)

            wide, master, remainder = make({}), make(MASTERS), make(REMAINDERS)
            for t in range(STEPS):
                grads = [grad.bfloat16().float() for grad in source.draw(1 / (t + 1))]
                for one in (wide, master, remainder):
                    one.step(grads)
            states = list(hyperparams.states())
            theta = wide.tensors("param")
            still = [i for i, a in enumerate(theta) if a.numel() and same_bits([a], [start[i]])]
            checks.expect(
                f"{name}: parameters moved", not still, f"not tensors {still}" if still else "all tensors'"
            )
            checks.bits(
                f"{name}: master as float32 parameters",
                {role: master.tensors(role) for role in ("master_param", *states)},
                {"master_param": theta} | {role: wide.tensors(role) for role in states},
            )
            checks.bits(
                f"{name}: remainder as master",
                {role: remainder.tensors(role) for role in ("param", *states)},
                {role: master.tensors(role) for role in ("param", *states)},
            )
            pairs = zip(remainder.tensors("param"), remainder.tensors("param_remainder"))
            checks.bits(
                f"{name}: parameter and remainder together as master",
                {"master_param": [joined(*pair) for pair in pairs]},
                {"master_param": master.tensors("master_param")},
            )
            for which, one in (("float32", wide), ("master", master), ("remainder", remainder)):
                checks.guards(f"{name}: {which}", one)


# ---- gradients that are clipped, scaled, or skip their step ----

# torch adds the squares of each tensor up in float32, we in float64: its coefficient is off by the rounding of such
# a sum, the same for all elements of a step. The second moment has it twice.
CLIP_TOLERANCE = 1e-5
NORM_TOLERANCE = 1e-12  # to the norm in float64

# Of the norms of the gradients, 487 at first and 24 at the end: all are above 1, the first ones above 100, none
# above 1e4.
GRAD_SETTINGS: list[tuple[str, dict[str, Any]]] = [
    ("norm 1", {"max_norm": 1.0}),
    ("norm 100", {"max_norm": 100.0}),
    ("norm 1e4, which none reaches", {"max_norm": 1e4}),
    ("value 0.01", {"max_value": 0.01}),
    ("loss scale 1024", {"loss_scale": 1024.0}),
    ("loss scale 1000", {"loss_scale": 1000.0}),
    ("norm 1, value 0.002, loss scale 1000", {"max_norm": 1.0, "max_value": 0.002, "loss_scale": 1000.0}),
]
GRAD_CASES: list[TorchCase] = [
    case for case in TORCH_CASES if case[0] in ("AdamW", "SGD, momentum, L2")
]


def grad_options(skips: bool = False, **fields: float) -> GradOptions:
    """With the flags of the fields."""
    flags = GradFlag.SKIP_NONFINITE if skips else GradFlag(0)
    flags |= GradFlag.CLIP_NORM if "max_norm" in fields else GradFlag(0)
    flags |= GradFlag.CLIP_VALUE if "max_value" in fields else GradFlag(0)
    return GradOptions(flags=flags, **fields)


def check_grads(checks: Checks) -> None:
    """Against torch's clipping, with torch's optimizer behind it, and with our own plain step."""
    for dtypes in ({}, REMAINDERS):
        for seed, (setting, fields) in enumerate(GRAD_SETTINGS):
            for case in GRAD_CASES:
                check_grad_case(checks, 600 + seed, case, setting, fields, dtypes)


def check_grad_case(
    checks: Checks,
    seed: int,
    case: TorchCase,
    setting: str,
    fields: dict[str, float],
    dtypes: dict[str, torch.dtype],
) -> None:
    rule_name, rule, changes, torch_type, torch_options = case
    name = f"{rule_name}{', bfloat16, remainder' if dtypes else ''}: {setting}"
    max_norm, max_value = fields.get("max_norm"), fields.get("max_value")
    loss_scale = fields.get("loss_scale", 1.0)
    with checks.group(name) as closing:
        source = Source(seed)
        # From 0, so that the parameters are the sum of the updates, and errors are relative to that.
        start = [torch.zeros(count) for count in COUNTS]
        hyperparams = checks.library.defaults(rule, lr=0.01, **changes)
        ours = Ours(
            closing,
            checks.library,
            checks.device,
            rule,
            hyperparams,
            start,
            dtypes=dtypes,
            grad_options=grad_options(**fields),
        )
        # What torch has clipped is not rounded to bfloat16 again, as in our step it is not.
        wide = {role: dtype for role, dtype in dtypes.items() if role != "grad"}
        plain = Ours(closing, checks.library, checks.device, rule, hyperparams, start, dtypes=wide)
        theirs = [param.to(checks.device) for param in start]
        optimizer = torch_type(theirs, lr=0.01, foreach=False, **torch_options)
        norms: dict[str, list[float]] = {"float64": [], "ours": [], "torch": []}
        coefficients: dict[str, list[float]] = {"float64": [], "ours": []}
        for t in range(STEPS):
            grads = [
                (grad * loss_scale).to(dtypes.get("grad", torch.float32)).float()
                for grad in source.draw(1 / (t + 1))
            ]
            ours.step(grads)
            for param, grad in zip(theirs, grads):
                param.grad = grad.to(checks.device, copy=True).div_(loss_scale)
            if max_norm is not None:
                norm = math.sqrt(sum((grad.double() / loss_scale).square().sum().item() for grad in grads))
                norms["float64"].append(norm)
                norms["torch"].append(torch.nn.utils.clip_grad_norm_(theirs, max_norm, norm_type=2.0).item())
                coefficients["float64"].append(min(1.0, max_norm / (norm + 1e-6)))
                ours.synchronize()
                norms["ours"].append(ours.optimizer.grad_status.norm)
                coefficients["ours"].append(ours.optimizer.grad_status.clip_coefficient)
            if max_value is not None:
                torch.nn.utils.clip_grad_value_(theirs, max_value)
            plain.step([param.grad for param in theirs])
            optimizer.step()

        if max_norm is not None:
            # Over those in float64, step by step.
            ratios = [
                torch.tensor(column[who], dtype=torch.float64)
                / torch.tensor(column["float64"], dtype=torch.float64)
                for column, who in ((norms, "ours"), (coefficients, "ours"), (norms, "torch"))
            ]
            ones = torch.ones(STEPS)
            checks.all_close(
                f"{name}: norms and coefficients as in float64",
                [([ratio], [ones]) for ratio in ratios[:2]],
                NORM_TOLERANCE,
            )
            checks.close(f"{name}: torch's norms as in float64", ratios[2:], [ones], CLIP_TOLERANCE)
        clips = any(coefficient < 1 for coefficient in coefficients["float64"])
        tolerance = CLIP_TOLERANCE if clips else TOLERANCE
        behind_torch = f"{name}: as our plain step on torch's gradients"
        if clips or math.frexp(loss_scale)[0] != 0.5:
            pairs = [(ours.kept()[role], plain.kept()[role]) for role in ours.kept()]
            checks.all_close(behind_torch, [(ours.theta(), plain.theta()), *pairs], tolerance)
        else:  # nothing is rounded, the loss scale is a power of two
            kept = [role for role in ours.arenas if role != "grad"]
            checks.bits(
                behind_torch,
                {role: ours.tensors(role) for role in kept},
                {role: plain.tensors(role) for role in kept},
            )
        pairs = [
            (ours.tensors(state), [optimizer.state[param][state] for param in theirs])
            for state in hyperparams.states()
        ]
        checks.all_close(f"{name}: as torch.optim behind it", [(ours.theta(), theirs), *pairs], tolerance)
        checks.guards(name, ours)


SKIP_CASES: list[tuple[str, dict[str, torch.dtype]]] = [
    ("AdamW", {}),
    ("AdamW, bfloat16, remainder", REMAINDERS),
    ("AdamW, float16 gradients, states of 8 bits", {"grad": torch.float16, **DYNAMIC8_STATES}),
]


def check_skips(checks: Checks) -> None:
    """A gradient that is not finite: no byte changes and no step is counted, and it is as if it had never been."""
    for seed, (case, dtypes) in enumerate(SKIP_CASES):
        name = f"{case}: skipped steps"
        with checks.group(name) as closing:
            source = Source(700 + seed)
            start = source.draw(0.5)
            hyperparams = checks.library.defaults("adam", lr=0.01, **ADAMW)
            options = grad_options(skips=True, max_norm=100.0, loss_scale=4.0)
            ours, never_skips = (
                Ours(
                    closing,
                    checks.library,
                    checks.device,
                    "adam",
                    hyperparams,
                    start,
                    dtypes=dtypes,
                    grad_options=options,
                )
                for _ in range(2)
            )
            changed, miscounted = [], []
            skipped = 0
            for t, bad in enumerate((math.nan, math.inf, -math.inf)):
                grads = source.draw(1.0)
                for one in (ours, never_skips):
                    one.step(grads)
                for i, count in enumerate(COUNTS):
                    if count == 0:
                        continue
                    grads = source.draw(1.0)
                    grads[i][(0, count // 2, count - 1)[(i + t) % 3]] = bad
                    ours.set_grads(grads)
                    before = {role: arena.buffer.clone() for role, arena in ours.arenas.items()}
                    ours.optimizer.step(ours.stream)
                    ours.synchronize()
                    skipped += 1
                    where = f"{bad} in tensor {i}"
                    if not all(same_bits([ours.arenas[role].buffer], [before[role]]) for role in before):
                        changed.append(where)
                    status = ours.optimizer.grad_status
                    counted = (ours.optimizer.state.step, status.skipped, status.skipped_steps)
                    if counted != (t + 1, 1, skipped):
                        miscounted.append(where)
            checks.expect(
                f"{name}: no byte changes",
                not changed,
                f"changed by {', '.join(changed)}" if changed else f"in any of {skipped}",
            )
            checks.expect(
                f"{name}: counted apart",
                not miscounted,
                f"miscounted {', '.join(miscounted)}" if miscounted else f"all {skipped}",
            )
            grads = source.draw(1.0)
            for one in (ours, never_skips):
                one.step(grads)
            checks.bits(
                f"{name}: as if they had never been",
                {role: ours.tensors(role) for role in ours.arenas},
                {role: never_skips.tensors(role) for role in ours.arenas},
            )
            checks.guards(name, ours)


# ---- states of 8 bits ----

# Half way between two numbers of the code the rounding of three operations in float32 decides: of place 128 at the
# beginning of a decade of 128 numbers, by 0.75 units in its last place. What is so far on the wrong side of half way
# is twice that farther from its number than from the nearest.
HALF_WAY = 2 * 0.75 * 2**-16 * 0.9 / 128 / 0.1
# Of all codes, that may be the next ones where the step is not ours: it is rounded elsewhere, so that more numbers
# lie on the other side of half way.
NEIGHBOURS = 1e-3

DYNAMIC8_CASES: list[tuple[str, str, dict[str, Any], dict[str, torch.dtype]]] = [
    ("AdamW", "adam", ADAMW, {}),
    ("Adam, AMSGrad", "adam", {"amsgrad": True, "beta2": 0.9}, {}),
    ("InvAdam", "invadam", {"lr": 0.05}, {}),
    ("DualAdam, bfloat16, remainder", "dualadam", {"switching_rate": 0.06}, REMAINDERS),
    ("SGD, momentum", "sgd", {"momentum": 0.9}, {}),
]


class CodeErrors:
    """How states of 8 bits differ from what the dynamic code says of their float32 numbers."""

    def __init__(self) -> None:
        self.codes = 0
        self.other_scales = 0
        self.not_nearest = 0
        self.excess = 0.0  # how much farther than the nearest, relative to the number

    def add(self, is_signed: bool, state: Tensor, values: Tensor) -> None:
        numbers = handwritten.dynamic_code(is_signed, CPU).double()
        in_order = numbers.sort().values
        scales, codes = handwritten.dynamic8_blocks(state.cpu())
        own_scales, parts = handwritten.dynamic8_parts(values.cpu())
        parts = parts.double()
        nearest = in_order[torch.bucketize(parts, (in_order[:-1] + in_order[1:]) / 2)]
        farther = (numbers[codes.long()] - parts).abs() - (nearest - parts).abs()
        wrong = farther > 0
        self.codes += values.numel()
        self.other_scales += (bits_of(scales) != bits_of(own_scales)).sum().item()
        self.not_nearest += wrong.sum().item()
        if wrong.any():
            self.excess = max(self.excess, (farther[wrong] / parts[wrong].abs()).max().item())


class PeerErrors:
    """How states of 8 bits differ from those of a step that was rounded elsewhere."""

    def __init__(self) -> None:
        self.codes = 0
        self.others = 0
        self.places = 0  # between two codes, at most
        self.scales: list[float] = []  # relative to the norm, or to the largest one

    def add(self, is_signed: bool, states: list[Tensor], peers: list[Tensor]) -> None:
        place = handwritten.dynamic_code(is_signed, CPU).argsort().argsort()
        scales, codes = zip(*(handwritten.dynamic8_blocks(state.cpu()) for state in states))
        peer_scales, peer_codes = zip(*(handwritten.dynamic8_blocks(state.cpu()) for state in peers))
        apart = (place[torch.cat(codes).long()] - place[torch.cat(peer_codes).long()]).abs()
        self.codes += sum(COUNTS)
        self.others += (apart > 0).sum().item()
        self.places = max(self.places, apart.max().item())
        self.scales += errors(scales, peer_scales)


def check_dynamic8(checks: Checks) -> None:
    """Each step from the states that the one before has left: decoded by hand, and encoded again."""
    for seed, (case, rule, changes, dtypes) in enumerate(DYNAMIC8_CASES):
        name = f"{case}, states of 8 bits"
        with checks.group(name) as closing:
            source = Source(800 + seed)
            start = [param.bfloat16().float() for param in source.draw(0.5)]
            hyperparams = checks.library.defaults(rule, **{"lr": 0.01, **changes})

            def make(dtypes: dict[str, torch.dtype]) -> Ours:
                return Ours(closing, checks.library, checks.device, rule, hyperparams, start, dtypes=dtypes)

            ours, wide = make({**dtypes, **DYNAMIC8_STATES}), make({})
            peer = handwritten.Dynamic8Rule(rule, [p.to(checks.device) for p in start], hyperparams)
            moved_otherwise = []
            errors_of = {state: CodeErrors() for state in peer.is_signed}
            peer_errors = PeerErrors()
            param_errors: list[float] = []
            for t in range(STEPS):
                grads = [grad.bfloat16().float() for grad in source.draw(1 / (t + 1))]
                theta = ours.theta()
                wide.arenas["param"].set(theta)
                for param, value in zip(peer.params, theta):
                    param.copy_(value)
                for role, is_signed in peer.is_signed.items():
                    states = ours.tensors(role)
                    wide.arenas[role].set(
                        [handwritten.dynamic8_decoded(state.cpu(), is_signed) for state in states]
                    )
                    for own, state in zip(peer.states[role], states):
                        own.copy_(state)
                ours.step(grads)
                wide.step(grads)
                peer.step([grad.to(checks.device) for grad in grads])
                if not same_bits(ours.theta(), wide.theta()):
                    moved_otherwise.append(t + 1)
                param_errors += errors(ours.theta(), peer.params)
                for role, is_signed in peer.is_signed.items():
                    for state, values in zip(ours.tensors(role), wide.tensors(role)):
                        errors_of[role].add(is_signed, state, values)
                    peer_errors.add(is_signed, ours.tensors(role), peer.states[role])
            checks.expect(
                f"{name}: parameters as of the decoded states",
                not moved_otherwise,
                f"other bits at steps {moved_otherwise}" if moved_otherwise else "same bits",
            )
            for role, found in errors_of.items():
                checks.expect(
                    f"{name}: {role} as encoded by hand",
                    found.other_scales == 0 and found.excess <= HALF_WAY,
                    f"{found.other_scales} other scales, {found.not_nearest} of {found.codes} codes not the "
                    f"nearest, by {found.excess:.1e} at most",
                )
            share = peer_errors.others / peer_errors.codes
            checks.expect(
                f"{name}: the peer by loop",
                all(error <= TOLERANCE for error in param_errors + peer_errors.scales)
                and peer_errors.places <= 1
                and share <= NEIGHBOURS,
                f"error {max(param_errors):.1e}, of scales {max(peer_errors.scales):.1e}, {share:.1e} of the codes "
                f"{peer_errors.places} place apart",
            )
            checks.guards(name, ours)


# ---- the dimer against the equations in float64 ----

DIMER_CASES: list[tuple[str, dict[str, Any], bool]] = [
    ("DEO, published", {}, True),
    (
        "DEO, escape, force per displacement",
        {
            "alpha": 2.0,
            "displacement": 0.05,
            "rotation_rate": 0.02,
            "force": DimerForce.PER_DISPLACEMENT,
            "correction": DimerCorrection.ESCAPE,
        },
        False,
    ),
    (
        "DEO, largest curvature",
        {"alpha": 1.0, "rotation_rate": 0.01, "rotation": DimerRotation.MAXIMUM_CURVATURE},
        True,
    ),
]
INTERVAL = 3


def check_dimer(checks: Checks) -> None:
    for seed, (name, changes, backs_up_grads) in enumerate(DIMER_CASES):
        with checks.group(name) as closing:
            source = Source(200 + seed)
            start = source.draw(0.5)
            # With torch's epsilon the first step of Adam is the sign of a gradient, however small it is.
            hyperparams = checks.library.defaults("adam", lr=0.01, eps=1e-3)
            options = checks.library.dimer_defaults(**changes)
            ours = Ours(
                closing,
                checks.library,
                checks.device,
                "adam",
                hyperparams,
                start,
                options=options,
                backs_up_grads=backs_up_grads,
            )
            ours.dimer.init_direction(seed, ours.stream)
            direction = ours.tensors("direction")

            def by_hand(params: list[Tensor], rule_style: str, dimer_style: str) -> handwritten.Dimer:
                own = [n.to(params[0].device, params[0].dtype, copy=True) for n in direction]
                rule = handwritten.Rule("adam", params, hyperparams, rule_style)
                return handwritten.Dimer(params, own, options, dimer_style, rule.step)

            exact = by_hand([param.double() for param in start], "loop", "loop")
            peers = {
                "loop": by_hand([p.to(checks.device, copy=True) for p in start], "loop", "loop"),
                "foreach": by_hand([p.to(checks.device, copy=True) for p in start], "foreach", "foreach"),
                "expression": by_hand(
                    [p.to(checks.device, copy=True) for p in start], "expression", "foreach"
                ),
            }
            for t in range(STEPS):
                grads = source.draw(1.0)
                updates = t % INTERVAL == 0
                if updates:
                    ours.displace(grads)
                    exact.displace()
                    if t == 0:
                        checks.close(f"{name}: displaced", ours.tensors("param"), exact.params, TOLERANCE)
                    displaced_grads = [g + d for g, d in zip(grads, source.draw(0.05))]
                    ours.end_update(displaced_grads)
                    exact.update([g.double() for g in grads], [g.double() for g in displaced_grads])
                else:
                    ours.dimer_step(grads)
                    exact.step([g.double() for g in grads])
                for peer in peers.values():
                    there = [g.to(checks.device) for g in grads]
                    if updates:
                        peer.displace(there)
                        peer.update(there, [g.to(checks.device) for g in displaced_grads])
                    else:
                        peer.step(there)
                if updates:
                    ours.synchronize()
                    found = torch.tensor([ours.dimer.status().curvature], dtype=torch.float64)
                    if t < 2 * INTERVAL:
                        checks.close(f"{name}: curvature at step {t + 1}", [found], [exact.curvature], 2e-5)
            checks.close(
                f"{name}: parameters as in float64", ours.tensors("param"), exact.params, DIMER_TOLERANCE
            )
            checks.close(f"{name}: direction as in float64", direction, exact.direction, DIMER_TOLERANCE)
            for style, peer in peers.items():
                checks.close(
                    f"{name}: the peer by {style} as in float64", peer.params, exact.params, DIMER_TOLERANCE
                )
            checks.guards(name, ours)


# ---- the same bits as the CPU backend ----

BITS_CASES: list[tuple[str, str, dict[str, Any], dict[str, torch.dtype]]] = [
    ("sgd", "sgd", {"weight_decay": 0.1}, {}),
    ("sgd, Nesterov", "sgd", {"momentum": 0.9, "nesterov": True}, {}),
    ("adam", "adam", {"weight_decay": 0.1}, {}),
    ("adamw, AMSGrad", "adam", {**ADAMW, "amsgrad": True}, {}),
    ("invadam", "invadam", {}, {}),
    ("dualadam", "dualadam", {"switching_rate": 0.1, "maximize": True}, {}),
    ("adam, bfloat16", "adam", {}, HALF_STATES),
    ("adamw, bfloat16, stochastic rounding", "adam", STOCHASTIC, HALF_STATES),
    ("dualadam, bfloat16, remainder", "dualadam", {"switching_rate": 0.1}, REMAINDERS),
    (
        "adam, float16, master, float32 gradients",
        "adam",
        {},
        {"param": torch.float16, "master_param": torch.float32},
    ),
    ("adamw, states of 8 bits", "adam", {"decoupled_weight_decay": True, "amsgrad": True}, DYNAMIC8_STATES),
    (
        "dualadam, bfloat16, remainder, states of 8 bits",
        "dualadam",
        {"switching_rate": 0.1},
        {**REMAINDERS, **DYNAMIC8_STATES},
    ),
    ("sgd, states of 8 bits", "sgd", {"momentum": 0.9}, DYNAMIC8_STATES),
]
GRAD_BITS_CASES: list[tuple[str, str, dict[str, Any], dict[str, torch.dtype], GradOptions]] = [
    (
        "adamw, clipped",
        "adam",
        {"decoupled_weight_decay": True},
        {},
        grad_options(max_norm=1.0, max_value=0.003),
    ),
    (
        "dualadam, bfloat16, remainder, clipped, skipped steps",
        "dualadam",
        {"switching_rate": 0.1},
        REMAINDERS,
        grad_options(skips=True, max_norm=1.0, loss_scale=1000.0),
    ),
    (
        "sgd, float16 gradients, states of 8 bits, clipped",
        "sgd",
        {"momentum": 0.9},
        {"grad": torch.float16, **DYNAMIC8_STATES},
        grad_options(max_norm=1.0, loss_scale=3.0),
    ),
]
OPTIMAL = {"angle": DimerAngle.OPTIMAL, "correction": DimerCorrection.ESCAPE}
DIMER_BITS_CASES: list[
    tuple[str, str, dict[str, Any], DimerScope, int, bool]
] = [  # ..., rotations, backs up grads
    ("deo adam, published", "adam", {}, DimerScope.GLOBAL, 0, True),
    ("deo adam, optimal angle", "adam", OPTIMAL, DimerScope.GLOBAL, 1, False),
    ("deo dualadam, two rotations", "dualadam", OPTIMAL, DimerScope.GLOBAL, 2, True),
    ("deo sgd, for each tensor", "sgd", {"alpha": 1.0}, DimerScope.PER_TENSOR, 1, False),
]
BITS_STEPS = 8
NONFINITE_STEPS = (2, 5)  # of those that may be skipped


def check_bits(checks: Checks) -> None:
    """On CUDA against the CPU; on the CPU against aligned tensors, which other instructions step over."""
    no_dimer = (None, DimerScope.GLOBAL, 0, True)
    cases = [(*case, None, *no_dimer) for case in BITS_CASES]
    cases += [(*case, *no_dimer) for case in GRAD_BITS_CASES]
    cases += [(name, rule, {}, {}, None, *rest) for name, rule, *rest in DIMER_BITS_CASES]
    for seed, case in enumerate(cases):
        name, rule, changes, dtypes, options_of_grads, dimer_changes, scope, rotations, backs_up_grads = case
        skips = options_of_grads is not None and options_of_grads.flags & GradFlag.SKIP_NONFINITE
        with checks.group(f"{name}: bits") as closing:
            start = Source(300 + seed).draw(0.5)
            hyperparams = checks.library.defaults(rule, lr=0.01, **changes)
            options = None if dimer_changes is None else checks.library.dimer_defaults(**dimer_changes)

            def make(device: torch.device, aligned: bool) -> Ours:
                made = Ours(
                    closing,
                    checks.library,
                    device,
                    rule,
                    hyperparams,
                    start,
                    aligned,
                    options,
                    scope,
                    backs_up_grads,
                    dtypes,
                    options_of_grads,
                )
                made.parameters.set_lr_scale([1 + i / 8 for i in range(len(COUNTS))])
                made.parameters.set_weight_decay([i / 100 for i in range(len(COUNTS))])
                return made

            def run(one: Ours) -> None:
                source = Source(400 + seed)
                if one.dimer is not None:
                    one.dimer.init_direction(seed, one.stream)
                for t in range(BITS_STEPS):
                    if one.dimer is None:
                        grads = source.draw(1.0)
                        if skips and t in NONFINITE_STEPS:
                            grads[-1][t] = math.nan
                        one.step(grads)
                    elif t % INTERVAL != 0:
                        one.dimer_step(source.draw(1.0))
                    else:
                        one.displace(source.draw(1.0))
                        for _ in range(rotations):
                            one.rotate(source.draw(1.0))
                        one.end_update(source.draw(1.0))
                one.synchronize()

            expected = make(CPU, aligned=True)
            run(expected)
            bits = {role: arena.tensors for role, arena in expected.arenas.items()}
            where = "the CPU's" if checks.device.type == "cuda" else "those of aligned tensors"

            def compare(one: Ours, title: str) -> None:
                checks.bits(title, {role: arena.tensors for role, arena in one.arenas.items()}, bits)
                if options_of_grads is not None:
                    status, counted = one.optimizer.grad_status, one.optimizer.state
                    checks.expect(
                        f"{title}: status and step count",
                        bytes(status) == bytes(expected.optimizer.grad_status)
                        and bytes(counted) == bytes(expected.optimizer.state)
                        and status.skipped_steps == (len(NONFINITE_STEPS) if skips else 0)
                        and counted.step == BITS_STEPS - status.skipped_steps,
                        f"norm {status.norm:.6g}, {status.skipped_steps} steps skipped",
                    )
                if one.dimer is not None:
                    scopes = range(len(COUNTS) if scope == DimerScope.PER_TENSOR else 1)
                    # As bytes, in which a NaN is as itself: an empty tensor has no curvature.
                    wrong = [
                        i for i in scopes if bytes(one.dimer.status(i)) != bytes(expected.dimer.status(i))
                    ]
                    checks.expect(
                        f"{title}: status", not wrong, f"differs in scopes {wrong}" if wrong else "the same"
                    )

            found = make(checks.device, aligned=False)
            run(found)
            compare(found, f"{name}: bits against {where}")
            checks.guards(f"{name}: bits", found)
            if checks.device.type == "cuda":
                side = torch.cuda.Stream(checks.device)
                side.wait_stream(torch.cuda.current_stream(checks.device))
                with torch.cuda.stream(side):
                    found = make(checks.device, aligned=False)
                    run(found)
                    compare(found, f"{name}: bits on another stream")


def main() -> int:
    parser = argparse.ArgumentParser(description="Checks NativeOpt's steps on tensors of torch.")
    parser.add_argument("--library", metavar="PATH", help="the native library (default: NATIVEOPT_LIBRARY)")
    parser.add_argument("--device", default="cuda", help="cuda, cuda:1, cpu (default: cuda)")
    arguments = parser.parse_args()
    try:
        device = open_device(arguments.device)
        library = Library(arguments.library)
    except (LibraryError, ValueError) as error:
        print(f"check.py: {error}", file=sys.stderr)
        return 2
    print(f"NativeOpt {library.version} ({library.build_info}), torch {torch.__version__}, {device}")
    checks = Checks(library, device)
    groups: list[Callable[[Checks], None]] = [
        check_torch,
        check_rules,
        check_precision,
        check_grads,
        check_skips,
        check_dynamic8,
        check_dimer,
        check_bits,
    ]
    with torch.no_grad():
        for group in groups:
            group(checks)
    print(f"{checks.passed} passed, {checks.failed} failed")
    return 1 if checks.failed else 0


if __name__ == "__main__":
    sys.exit(main())
