"""What bench.py measures: NativeOpt's steps, and the same steps of torch."""

from __future__ import annotations

import copy
import functools
import itertools
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

import handwritten
from nativeopt import Dimer, Library, Optimizer, ParamSet, addresses
from report import OURS
from timing import Contender

# A compiler takes minutes over more tensors.
MOST_COMPILED_TENSORS = 200

# What --dtype selects rows by, and what their parameters and gradients are of.
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "dynamic8": torch.float32}


class LeftOut(Exception):
    """Why a contender does not take part."""


class Workload:
    """Parameters and gradients of one shape and type. On CUDA all contenders share them; on the CPU each has its own,
    since they would warm the caches for each other. States are each one's own."""

    def __init__(
        self,
        library: Library,
        counts: list[int],
        device: torch.device,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self.library = library
        self.device = device
        self.counts = counts
        self.dtype = dtype
        self.params = self.random(0.1)
        self.grads = self.random(0.01)
        self.collects_grads = False

    @functools.cached_property
    def displaced_grads(self) -> list[Tensor]:
        return self.random(0.01)

    def clone(self, collects_grads: bool = False) -> Workload:
        """The same values in other memory. `collects_grads`: our steps find their gradients in .grad each time, as
        torch's optimizers do."""
        clone = copy.copy(self)
        clone.params = [param.clone() for param in self.params]
        clone.grads = [grad.clone() for grad in self.grads]
        clone.collects_grads = collects_grads
        return clone

    @property
    def stream(self) -> int | None:
        return torch.cuda.current_stream(self.device).cuda_stream if self.device.type == "cuda" else None

    def random(self, scale: float) -> list[Tensor]:
        # One allocation for each tensor, as a model has them.
        return [torch.randn(count, device=self.device, dtype=self.dtype).mul_(scale) for count in self.counts]

    def empty(self, dtype: torch.dtype = torch.float32) -> list[Tensor]:
        """Of torch.uint8: states of 8 bits."""
        sizes = self.counts
        if dtype == torch.uint8:
            sizes = [self.library.buffer_bytes("dynamic8", count) for count in sizes]
        return [torch.zeros(size, device=self.device, dtype=dtype) for size in sizes]

    def aliases(self) -> list[Tensor]:
        """The parameters again, for an optimizer of torch that finds its gradients in .grad."""
        return [param.detach() for param in self.params]

    def aliases_with_grads(self) -> list[Tensor]:
        params = self.aliases()
        for param, grad in zip(params, self.grads):
            param.grad = grad
        return params

    def direction(self) -> list[Tensor]:
        direction = self.random(1.0)
        handwritten.scale_(direction, handwritten.dot(direction, direction).rsqrt())
        return direction


Make = Callable[[Workload, ExitStack], Contender]


@dataclass(frozen=True)
class Row:
    """A rule, what its step must move, and who steps it."""

    name: str
    bytes_per_element: float
    ours: Make
    peers: dict[str, Make]
    # One of DTYPES.
    dtype: str = "float32"
    # What the page says beside the name: in what the compared differ.
    note: str = ""
    # The optimizer of torch as it is without options. On the CPU it steps tensor by tensor, and takes part there; on
    # CUDA it is foreach. Where there is one, its parameters and the peers' are to be ours, up to rounding.
    torch_default: Make | None = None

    def peers_on(self, device: torch.device) -> dict[str, Make]:
        if device.type != "cpu" or self.torch_default is None:
            return self.peers
        return {**self.peers, "loop": self.torch_default}


# ---- ours ----


def bind_states(
    workload: Workload, optimizer: Optimizer, roles: list[str], dtype: torch.dtype = torch.float32
) -> None:
    """Binds gradients, and states of a type."""
    for role in roles:
        if role == "grad":
            optimizer.bind(role, workload.grads)
        elif role != "param":
            states = workload.empty(dtype)
            if dtype != torch.float32:
                optimizer.set_dtypes(role, [workload.library.dtype_of(state) for state in states])
            optimizer.bind(role, states)


def ours(
    rule: str, state_dtype: torch.dtype = torch.float32, remainders: bool = False, **hyperparams: float
) -> Make:
    def make(workload: Workload, closing: ExitStack) -> Contender:
        params = workload.params
        if remainders:  # they belong to parameters that nobody else writes
            params = [param.clone() for param in params]
        parameters = closing.enter_context(ParamSet(workload.library, params))
        optimizer = closing.enter_context(Optimizer(parameters, rule, **hyperparams))
        bind_states(workload, optimizer, optimizer.roles(), state_dtype)
        if remainders:
            parameters.bind("param_remainder", workload.empty(torch.int16))
        stream = workload.stream
        if not workload.collects_grads:
            return Contender(OURS, lambda: optimizer.step(stream))
        with_grads = workload.aliases_with_grads()

        def step() -> None:
            parameters.bind_addresses("grad", addresses([param.grad for param in with_grads]))
            optimizer.step(stream)

        return Contender(OURS, step)

    return make


def ours_dimer(what: str) -> Make:
    """`what` is "cached", "update", "displace" (which copies the gradients) or "displace_keep"."""

    def make(workload: Workload, closing: ExitStack) -> Contender:
        library = workload.library
        parameters = closing.enter_context(ParamSet(library, workload.params))
        optimizer = closing.enter_context(Optimizer(parameters, "adam"))
        options = library.dimer_defaults()
        dimer = closing.enter_context(Dimer(optimizer))
        bind_states(workload, optimizer, optimizer.roles() + dimer.roles(options))
        if what == "displace":
            parameters.bind("grad_backup", workload.empty())
        elif what != "cached":
            parameters.bind("grad_displaced", workload.displaced_grads)
        stream = workload.stream
        dimer.init_direction(1, stream)

        def displace() -> None:
            dimer.displace(options, stream)

        def step() -> None:
            dimer.step(options, stream)

        if what == "cached":
            return Contender(OURS, step)
        if what == "update":
            return Contender(OURS, step, prepare=displace)
        return Contender(OURS, displace, finish=lambda: dimer.restore(stream))

    return make


# ---- torch's optimizers ----


def torch_optimizer(optimizer_type: Any, **options: Any) -> Make:
    def make(workload: Workload, closing: ExitStack) -> Contender:
        optimizer = optimizer_type(workload.aliases_with_grads(), **options)
        return Contender("", optimizer.step)

    return make


def torch_optimizers(optimizer_type: Any, **options: Any) -> dict[str, Make]:
    return {
        style: torch_optimizer(optimizer_type, **{style: True}, **options) for style in ("fused", "foreach")
    }


def torch_row(
    name: str,
    bytes_per_element: float,
    make: Make,
    optimizer_type: Any,
    dtype: str = "float32",
    note: str = "",
    **options: Any,
) -> Row:
    """A rule that torch has an optimizer for. `options` are the optimizer's."""
    default = torch_optimizer(optimizer_type, foreach=False, **options)
    return Row(name, bytes_per_element, make, torch_optimizers(optimizer_type, **options), dtype, note, default)


def torch_rows(
    name: str,
    states: int,
    rule: str,
    optimizer_type: Any,
    hyperparams: dict[str, Any],
    bfloat16_states: bool = True,
    **options: Any,
) -> list[Row]:
    """A rule that keeps so many states, on float32 parameters and gradients first; then on bfloat16 ones, with states
    as torch has them, unless the rule has none such, and with float32 states."""
    rows = [torch_row(name, 4 * (3 + 2 * states), ours(rule, **hyperparams), optimizer_type, **options)]
    if states == 0 or bfloat16_states:
        note = "bfloat16 states, as the peers'" if states else ""
        make = ours(rule, torch.bfloat16, **hyperparams)
        bytes_per_element = 2 * (3 + 2 * states)
        rows.append(
            torch_row(f"{name}_bfloat16", bytes_per_element, make, optimizer_type, "bfloat16", note, **options)
        )
    if states:
        note = "float32 states, the peers' are bfloat16"
        make = ours(rule, **hyperparams)
        bytes_per_element = 2 * 3 + 4 * 2 * states
        name = f"{name}_float32_states"
        rows.append(torch_row(name, bytes_per_element, make, optimizer_type, "bfloat16", note, **options))
    return rows


def bitsandbytes_adamw(workload: Workload, closing: ExitStack) -> Contender:
    try:
        import bitsandbytes
    except ImportError as error:
        raise LeftOut("bitsandbytes is not installed") from error
    # Small tensors, too, are to have states of 8 bits: ours have.
    make = torch_optimizer(bitsandbytes.optim.AdamW8bit, weight_decay=0.01, min_8bit_size=1)
    return make(workload, closing)


# ---- written by hand ----


def compiled(function: Callable[..., None], workload: Workload) -> Callable[..., None]:
    if not hasattr(torch, "compile"):
        raise LeftOut(f"torch {torch.__version__} has no torch.compile")
    if len(workload.counts) > MOST_COMPILED_TENSORS:
        raise LeftOut(f"compiling a step of more than {MOST_COMPILED_TENSORS} tensors takes minutes")
    torch.compiler.reset()
    return torch.compile(function)


def hand_rule(rule: str, style: str) -> Make:
    def make(workload: Workload, closing: ExitStack) -> Contender:
        hyperparams = workload.library.defaults(rule)
        written_as = "expression" if style == "compile" else style
        by_hand = handwritten.Rule(rule, workload.params, hyperparams, written_as)
        if style != "compile":
            return Contender("", lambda: by_hand.step(workload.grads))
        program = compiled(by_hand.expression, workload)
        return Contender("", lambda: program(workload.grads, by_hand.next_scalars()))

    return make


def hand_rules(rule: str, styles: tuple[str, ...] = ("foreach", "loop", "compile")) -> dict[str, Make]:
    return {style: hand_rule(rule, style) for style in styles}


def hand_dynamic8(rule: str, **hyperparams: float) -> Make:
    def make(workload: Workload, closing: ExitStack) -> Contender:
        chosen = workload.library.defaults(rule, **hyperparams)
        by_hand = handwritten.Dynamic8Rule(rule, workload.params, chosen)
        return Contender("", lambda: by_hand.step(workload.grads))

    return make


def torch_adam(workload: Workload) -> Callable[[list[Tensor]], None]:
    """torch's fastest Adam for gradients that are given anew each step."""
    params = workload.aliases()
    try:
        optimizer = torch.optim.Adam(params, fused=True)
    except RuntimeError:  # not on this device
        optimizer = torch.optim.Adam(params, foreach=True)

    def step(grads: list[Tensor]) -> None:
        for param, grad in zip(params, grads):
            param.grad = grad
        optimizer.step()

    return step


def hand_dimer(what: str, style: str) -> Make:
    def make(workload: Workload, closing: ExitStack) -> Contender:
        grads, displaced_grads = workload.grads, workload.displaced_grads
        adam_style = "expression" if style == "compile" else "loop"
        adam = handwritten.Rule("adam", workload.params, workload.library.defaults("adam"), adam_style)
        apply = torch_adam(workload) if style == "foreach" else adam.step
        dimer_style = "loop" if style == "loop" else "foreach"
        options = workload.library.dimer_defaults()
        dimer = handwritten.Dimer(workload.params, workload.direction(), options, dimer_style, apply)
        copied = grads if what == "displace" else None

        def cached_program(scalars: Tensor) -> None:
            adam.expression(dimer.corrected(grads), scalars)

        def update_program(scalars: Tensor) -> None:
            dimer.foreach_rotate(grads, displaced_grads)
            dimer.restore()
            adam.expression(dimer.corrected(grads), scalars)

        if what == "cached":
            if style == "compile":
                program = compiled(cached_program, workload)
                return Contender("", lambda: program(adam.next_scalars()))
            return Contender("", lambda: dimer.step(grads))
        if what == "update":
            if style == "compile":
                program = compiled(update_program, workload)
                return Contender("", lambda: program(adam.next_scalars()), prepare=dimer.displace)
            return Contender("", lambda: dimer.update(grads, displaced_grads), prepare=dimer.displace)
        dimer.displace(copied)  # allocates
        dimer.restore()
        displace = compiled(dimer.displace, workload) if style == "compile" else dimer.displace
        return Contender("", lambda: displace(copied), finish=dimer.restore)

    return make


def hand_dimers(what: str) -> dict[str, Make]:
    return {style: hand_dimer(what, style) for style in ("foreach", "loop", "compile")}


def bfloat16_rows(name: str, rule: str, peers: dict[str, Make], **hyperparams: Any) -> tuple[Row, Row]:
    """A rule on bfloat16 parameters and gradients, with all of theta and without. Torch keeps its states in the
    parameters' type, so that the peers of both rows are the same, and move 14 bytes an element."""
    return (
        Row(
            f"{name}_remainder",
            26,
            ours(rule, remainders=True, **hyperparams),
            peers,
            "bfloat16",
            "keeps a float32 θ, m and v, the peers bfloat16 ones",
        ),
        Row(
            f"{name}_stochastic",
            14,
            ours(rule, torch.bfloat16, stochastic_rounding=True, rounding_seed=1, **hyperparams),
            peers,
            "bfloat16",
            "keeps a bfloat16 θ, m and v, as the peers do",
        ),
    )


def dynamic8_row(name: str, rule: str, peers: dict[str, Make], **hyperparams: float) -> Row:
    """A rule with states of 8 bits on float32 parameters and gradients. Who of the peers keeps float32 states moves
    28 bytes an element."""
    same = ["loop", *(["bitsandbytes"] if "bitsandbytes" in peers else [])]
    return Row(
        f"{name}_dynamic8",
        12 + 2 * 2 * (1 + 4 / 256),  # and a scale for each block of 256
        ours(rule, torch.uint8, **hyperparams),
        {**peers, "loop": hand_dynamic8(rule, **hyperparams)},
        "dynamic8",
        f"keeps m and v in 8 bits, as {' and '.join(same)}; the other peers in float32",
    )


TORCH_ROWS = (
    torch_rows("sgd", 0, "sgd", torch.optim.SGD, {"lr": 0.1}, lr=0.1),
    torch_rows(
        "sgd_momentum", 1, "sgd", torch.optim.SGD, {"lr": 0.1, "momentum": 0.9}, lr=0.1, momentum=0.9
    ),
    torch_rows("adam", 2, "adam", torch.optim.Adam, {}),
    torch_rows(
        "adamw",
        2,
        "adam",
        torch.optim.AdamW,
        {"decoupled_weight_decay": True, "weight_decay": 0.01},
        weight_decay=0.01,
    ),
    torch_rows(
        "adamw_amsgrad",
        3,
        "adam",
        torch.optim.AdamW,
        {"decoupled_weight_decay": True, "amsgrad": True, "weight_decay": 0.01},
        weight_decay=0.01,
        amsgrad=True,
    ),
    torch_rows("adagrad", 1, "adagrad", torch.optim.Adagrad, {}, bfloat16_states=False),
)

ROWS = (
    *(in_float32 for in_float32, *_ in TORCH_ROWS),
    Row("invadam", 28, ours("invadam"), hand_rules("invadam")),
    Row("dualadam", 28, ours("dualadam"), hand_rules("dualadam")),
    Row("deo_cached", 8 + 32, ours_dimer("cached"), hand_dimers("cached")),
    Row("deo_update", 12 + 40, ours_dimer("update"), hand_dimers("update")),
    Row("deo_displace", 24, ours_dimer("displace"), hand_dimers("displace")),
    Row("deo_displace_keep", 16, ours_dimer("displace_keep"), hand_dimers("displace_keep")),
    *(row for _, *in_bfloat16 in TORCH_ROWS for row in in_bfloat16),
    *bfloat16_rows("adam", "adam", torch_optimizers(torch.optim.Adam)),
    *bfloat16_rows(
        "adamw",
        "adam",
        torch_optimizers(torch.optim.AdamW, weight_decay=0.01),
        decoupled_weight_decay=True,
        weight_decay=0.01,
    ),
    *bfloat16_rows("dualadam", "dualadam", hand_rules("dualadam", ("foreach", "loop"))),
    dynamic8_row(
        "adamw",
        "adam",
        {
            **torch_optimizers(torch.optim.AdamW, weight_decay=0.01),
            "bitsandbytes": bitsandbytes_adamw,
        },
        decoupled_weight_decay=True,
        weight_decay=0.01,
    ),
    dynamic8_row("invadam", "invadam", hand_rules("invadam", ("foreach",))),
    dynamic8_row("dualadam", "dualadam", hand_rules("dualadam", ("foreach",))),
)


# ---- what calls cost the host ----


def host_calls(
    library: Library, tensors: int, device: torch.device, asynchronous: bool, closing: ExitStack
) -> dict[str, Callable[[], Any]]:
    """Calls to be timed on the host. Steps are among them only where a call does not do the step's work."""
    workload = Workload(library, [64] * tensors, device)
    parameters = closing.enter_context(ParamSet(library, workload.params))
    adamw = {"decoupled_weight_decay": True, "weight_decay": 0.01}
    optimizer = closing.enter_context(Optimizer(parameters, "adam", **adamw))
    bind_states(workload, optimizer, optimizer.roles())
    stream = workload.stream
    same = addresses(workload.grads)
    in_turns = itertools.cycle([addresses(workload.displaced_grads), same])
    tensors_in_turns = itertools.cycle([workload.displaced_grads, workload.grads])

    def step_on_new_gradients() -> None:
        parameters.bind_addresses("grad", next(in_turns))
        optimizer.step(stream)

    calls: dict[str, Callable[[], Any]] = {
        "bind gradients, addresses as they were": lambda: parameters.bind_addresses("grad", same),
        "bind gradients, every address new": lambda: parameters.bind_addresses("grad", next(in_turns)),
        "collect data_ptr() of the gradients in Python": lambda: addresses(next(tensors_in_turns)),
    }
    if asynchronous:
        calls["step"] = lambda: optimizer.step(stream)
        calls["bind gradients, every address new, and step"] = step_on_new_gradients
        for style, make in torch_optimizers(torch.optim.AdamW, weight_decay=0.01).items():
            calls[f"torch's AdamW({style}=True)"] = made_when_called(make, workload, closing)
    return calls


def made_when_called(make: Make, workload: Workload, closing: ExitStack) -> Callable[[], None]:
    """What cannot be made fails when it is called, and not the others with it."""
    made: list[Contender] = []

    def call() -> None:
        if not made:
            made.append(make(workload, closing))
        made[0].run()

    return call
