"""The update rules and the dimer as a torch user would write them by hand: what check.py compares with in
float64, and the peers of bench.py where torch has no optimizer for a rule.

Three ways of writing:

 - loop: tensor by tensor, every option of every rule, in any element type;
 - foreach: torch._foreach operations over all tensors, as few as the rule can be written in;
 - expression: foreach operations with all scalars in tensors, so that torch.compile sees the same program at
   every step.
"""

from __future__ import annotations

import math
from collections import namedtuple
from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

import torch
from torch import Tensor

from nativeopt import DimerCorrection, DimerForce, DimerOptions, DimerRotation, Hyperparams

Tensors = list[Tensor]


def settings(h: Hyperparams) -> Any:
    """The rule's hyperparameters and flags as plain numbers: torch.compile does not look into structs of ctypes."""
    names = [*h.rule.hyperparams, *h.rule.flags]
    return namedtuple("Settings", names)(*[h.get(name) for name in names])


# Older torch has fewer operations, and the loops below in their place.
TORCH_VERSION = tuple(int(part) for part in torch.__version__.split("+")[0].split(".")[:2])
HAS_TENSOR_SCALARS = TORCH_VERSION >= (2, 3)
HAS_LERP = hasattr(torch, "_foreach_lerp_")
HAS_COPY = hasattr(torch, "_foreach_copy_")
HAS_COMPILER = hasattr(torch, "compiler")


def zeros_like(tensors: Tensors) -> Tensors:
    return [torch.zeros_like(tensor) for tensor in tensors]


class Scalars(NamedTuple):
    """What all elements share at one step; floats, or tensors of no dimension."""

    step_size: float | Tensor  # lr / (1 - beta1^t), with 1 - a of DualAdam
    inverse_step_size: float | Tensor  # ... with a
    inverse_root: float | Tensor  # sqrt(v_hat) = sqrt(v) * this


def scalars(rule: str, h: Any, t: int) -> Scalars:
    """`t` is counted from 1."""
    step_size = h.lr / (1 - h.beta1**t)
    a = max(0.0, 1 - h.switching_rate * t) if rule == "dualadam" else float(rule == "invadam")
    return Scalars((1 - a) * step_size, a * step_size, 1 / math.sqrt(1 - h.beta2**t))


# ---- loop ----


def effective_grad(param: Tensor, grad: Tensor, h: Any) -> Tensor:
    """The gradient that a rule sees; applies a decay that is decoupled."""
    if h.maximize:
        grad = -grad
    if h.weight_decay != 0 and h.decoupled_weight_decay:
        param.mul_(1 - h.lr * h.weight_decay)
    elif h.weight_decay != 0:
        grad = grad.add(param, alpha=h.weight_decay)
    return grad


# The states of all tensors, by the library's names.
States = dict[str, Tensors]


def loop_sgd(params: Tensors, grads: Tensors, states: States, h: Any) -> None:
    for i, (param, grad) in enumerate(zip(params, grads)):
        grad = effective_grad(param, grad, h)
        if h.momentum != 0:
            buffer = states["momentum_buffer"][i]
            buffer.mul_(h.momentum).add_(grad)
            grad = grad.add(buffer, alpha=h.momentum) if h.nesterov else buffer
        param.add_(grad, alpha=-h.lr)


def loop_moments(rule: str, params: Tensors, grads: Tensors, states: States, h: Any, t: int) -> None:
    """Adam, InvAdam and DualAdam."""
    s = scalars(rule, h, t)
    m, v, v_max = states["exp_avg"], states["exp_avg_sq"], states.get("max_exp_avg_sq")
    for i, (param, grad) in enumerate(zip(params, grads)):
        grad = effective_grad(param, grad, h)
        m[i].mul_(h.beta1).add_(grad, alpha=1 - h.beta1)
        v[i].mul_(h.beta2).addcmul_(grad, grad, value=1 - h.beta2)
        if h.amsgrad:
            torch.maximum(v_max[i], v[i], out=v_max[i])
        root = (v_max[i] if h.amsgrad else v[i]).sqrt().mul_(s.inverse_root)
        if rule != "adam":
            factor = root + h.eps if h.inverse_epsilon else root
            param.addcmul_(m[i], factor, value=-s.inverse_step_size)
        if rule != "invadam":
            param.addcdiv_(m[i], root.add_(h.eps), value=-s.step_size)


def loop_step(rule: str, params: Tensors, grads: Tensors, states: States, h: Any, t: int) -> None:
    """Takes the step of any rule that is written here."""
    if rule == "sgd":
        loop_sgd(params, grads, states, h)
    else:
        loop_moments(rule, params, grads, states, h, t)


# ---- foreach, for float32 and the default options ----


def foreach_update_moments(grads: Tensors, m: Tensors, v: Tensors, h: Any) -> None:
    if HAS_LERP:
        torch._foreach_lerp_(m, grads, 1 - h.beta1)
    else:
        torch._foreach_mul_(m, h.beta1)
        torch._foreach_add_(m, grads, alpha=1 - h.beta1)
    torch._foreach_mul_(v, h.beta2)
    torch._foreach_addcmul_(v, grads, grads, 1 - h.beta2)


def foreach_moments(
    rule: str, params: Tensors, grads: Tensors, m: Tensors, v: Tensors, h: Any, t: int
) -> None:
    s = scalars(rule, h, t)
    foreach_update_moments(grads, m, v, h)
    root = torch._foreach_sqrt(v)
    if rule == "invadam":  # inverse_root goes into the scalar of the product
        torch._foreach_addcmul_(params, m, root, -s.inverse_step_size * s.inverse_root)
        return
    torch._foreach_mul_(root, s.inverse_root)
    if rule == "dualadam":
        torch._foreach_addcmul_(params, m, root, -s.inverse_step_size)
    torch._foreach_add_(root, h.eps)
    torch._foreach_addcdiv_(params, m, root, -s.step_size)


def scale_(tensors: Tensors, factor: Tensor) -> None:
    if HAS_TENSOR_SCALARS:
        torch._foreach_mul_(tensors, factor)
    else:
        for tensor in tensors:
            tensor.mul_(factor)


def scaled(tensors: Tensors, factor: Tensor) -> Tensors:
    if HAS_TENSOR_SCALARS:
        return list(torch._foreach_mul(tensors, factor))
    return [tensor * factor for tensor in tensors]


def copy_(destinations: Tensors, sources: Tensors) -> None:
    if HAS_COPY and not is_compiling():
        torch._foreach_copy_(destinations, sources)
    else:
        for destination, source in zip(destinations, sources):
            destination.copy_(source)


def is_compiling() -> bool:
    return HAS_COMPILER and torch.compiler.is_compiling()


def dot(xs: Tensors, ys: Tensors) -> Tensor:
    """Sum of the products over all tensors, on the device."""
    if not is_compiling() and sum(x.numel() for x in xs) < 16384 * len(xs):
        # No foreach operation does this, and a launch for a small tensor costs more than moving it twice.
        return torch.dot(torch.cat([x.flatten() for x in xs]), torch.cat([y.flatten() for y in ys]))
    return torch.stack([torch.dot(x.flatten(), y.flatten()) for x, y in zip(xs, ys)]).sum()


# ---- expression, for torch.compile ----


def expression_moments(
    rule: str, params: Tensors, grads: Tensors, m: Tensors, v: Tensors, h: Any, s: Scalars
) -> None:
    foreach_update_moments(grads, m, v, h)
    root = scaled(list(torch._foreach_sqrt(v)), s.inverse_root)
    if rule != "adam":
        inverse = scaled(list(torch._foreach_mul(m, root)), s.inverse_step_size)
        torch._foreach_sub_(params, inverse)
    if rule != "invadam":
        direct = scaled(list(torch._foreach_div(m, torch._foreach_add(root, h.eps))), s.step_size)
        torch._foreach_sub_(params, direct)


# ---- a rule with its state ----


class Rule:
    """A rule over its own states. `style` is "loop", "foreach" or "expression"."""

    def __init__(self, rule: str, params: Tensors, hyperparams: Hyperparams, style: str) -> None:
        self.rule = rule
        self.params = params
        self.hyperparams = settings(hyperparams)
        self.style = style
        self.t = 0
        self.states = {name: zeros_like(params) for name in hyperparams.states()}
        if style != "loop" and (rule == "sgd" or hyperparams.flags or hyperparams.get("weight_decay")):
            raise ValueError(f"{rule}: only the loop knows SGD, flags and weight decay")
        self.tensor_scalars = torch.zeros(
            len(Scalars._fields), device=params[0].device, dtype=params[0].dtype
        )

    def step(self, grads: Tensors) -> None:
        if self.style == "expression":
            self.expression(grads, self.next_scalars())
            return
        self.t += 1
        if self.style == "loop":
            loop_step(self.rule, self.params, grads, self.states, self.hyperparams, self.t)
        else:
            moments = (self.states["exp_avg"], self.states["exp_avg_sq"])
            foreach_moments(self.rule, self.params, grads, *moments, self.hyperparams, self.t)

    def next_scalars(self) -> Tensor:
        """Counts a step and uploads its scalars: from pageable memory, which the host may forget at once."""
        self.t += 1
        values = torch.tensor(scalars(self.rule, self.hyperparams, self.t), dtype=self.tensor_scalars.dtype)
        return self.tensor_scalars.copy_(values, non_blocking=True)

    def expression(self, grads: Tensors, tensor_scalars: Tensor) -> None:
        """What torch.compile gets; the scalars are next_scalars()."""
        s = Scalars(*tensor_scalars.unbind())
        moments = (self.states["exp_avg"], self.states["exp_avg_sq"])
        expression_moments(self.rule, self.params, grads, *moments, self.hyperparams, s)


# ---- states of 8 bits ----

BLOCK = 256  # elements that share a scale
SCALE_BYTES = 4
DECADES = 7


@lru_cache
def dynamic_code(is_signed: bool, device: torch.device) -> Tensor:
    """The number of each byte (Dettmers et al. 2022): the middles of 2^i equal parts, or of 2^(i+1) without a sign,
    of [0.1, 1) * 10^(i-6) for i = 0 to 6; 0, and 1."""
    numbers = [torch.zeros(1, dtype=torch.float64)]
    for i in range(DECADES):
        bounds = torch.linspace(0.1, 1, 2 ** (i if is_signed else i + 1) + 1, dtype=torch.float64)
        numbers.append((bounds[:-1] + bounds[1:]) / 2 * 10.0 ** (i + 1 - DECADES))
    numbers.append(torch.ones(1, dtype=torch.float64))
    if is_signed:  # negatives count down from byte 255; 1 has none
        numbers.append(-torch.cat(numbers[1:-1]).flip(0))
    return torch.cat(numbers).float().to(device)


@lru_cache
def nearest_bytes(is_signed: bool, device: torch.device) -> tuple[Tensor, Tensor]:
    """The bytes in the order of their numbers, and where between the numbers the nearest one changes."""
    numbers, order = dynamic_code(is_signed, device).double().sort()
    return order.to(torch.uint8), ((numbers[:-1] + numbers[1:]) / 2).float()


def dynamic8_bytes(count: int) -> int:
    """Of a state of so many elements."""
    return count + SCALE_BYTES * math.ceil(count / BLOCK)


def dynamic8_blocks(state: Tensor) -> tuple[Tensor, Tensor]:
    """The scale of each block and its bytes; the last block's end in zeros."""
    rows = math.ceil(state.numel() / (SCALE_BYTES + BLOCK))
    padded = torch.nn.functional.pad(state, (0, rows * (SCALE_BYTES + BLOCK) - state.numel()))
    padded = padded.view(rows, SCALE_BYTES + BLOCK)
    return padded[:, :SCALE_BYTES].contiguous().view(torch.float32), padded[:, SCALE_BYTES:]


def dynamic8_decoded(state: Tensor, is_signed: bool) -> Tensor:
    """The float32 numbers that a state of bytes stands for."""
    scales, codes = dynamic8_blocks(state)
    values = dynamic_code(is_signed, state.device)[codes.long()] * scales
    return values.flatten()[: state.numel() - SCALE_BYTES * len(scales)]


def dynamic8_parts(values: Tensor) -> tuple[Tensor, Tensor]:
    """The largest magnitude of each block, and what part of it each of its elements is: 0 where that is no number."""
    rows = math.ceil(values.numel() / BLOCK)
    blocks = torch.nn.functional.pad(values, (0, rows * BLOCK - values.numel())).view(rows, BLOCK)
    scales = blocks.abs().amax(dim=1, keepdim=True)
    return scales, (blocks / torch.where(scales == 0, torch.ones_like(scales), scales)).nan_to_num(0.0)


def dynamic8_encode_(state: Tensor, values: Tensor, is_signed: bool) -> None:
    """Writes float32 numbers to a state of bytes."""
    order, changes = nearest_bytes(is_signed, state.device)
    scales, parts = dynamic8_parts(values)
    blocks = torch.cat([scales.view(torch.uint8), order[torch.bucketize(parts, changes)]], dim=1)
    state.copy_(blocks.flatten()[: state.numel()])


class Dynamic8Rule:
    """A rule by the loop, whose states are bytes: decoded for the step of their tensor, and encoded again."""

    def __init__(self, rule: str, params: Tensors, hyperparams: Hyperparams) -> None:
        self.rule = rule
        self.params = params
        self.hyperparams = settings(hyperparams)
        self.t = 0
        self.is_signed = {name: bool(info.is_signed) for name, info in hyperparams.states().items()}
        self.states = {
            name: [
                torch.zeros(dynamic8_bytes(param.numel()), dtype=torch.uint8, device=param.device)
                for param in params
            ]
            for name in self.is_signed
        }

    def step(self, grads: Tensors) -> None:
        self.t += 1
        for i, (param, grad) in enumerate(zip(self.params, grads)):
            values = {
                name: [dynamic8_decoded(states[i], self.is_signed[name])]
                for name, states in self.states.items()
            }
            loop_step(self.rule, [param], [grad], values, self.hyperparams, self.t)
            for name, states in self.states.items():
                dynamic8_encode_(states[i], values[name][0], self.is_signed[name])


# ---- the dimer ----


class Dimer:
    """A dimer of fixed rate over all tensors together; nativeopt.h has the equations.

    `apply(grads)` makes the rule's step, on corrected gradients.
    """

    def __init__(
        self,
        params: Tensors,
        direction: Tensors,
        options: DimerOptions,
        style: str,
        apply: Callable[[Tensors], None],
    ) -> None:
        self.params = params
        self.direction = direction
        self.displacement = options.displacement
        self.alpha = options.alpha
        self.escape = options.correction == DimerCorrection.ESCAPE
        self.style = style
        self.apply = apply
        self.param_backup = zeros_like(params)
        self.grad_backup: Tensors = []
        self.curvature = torch.full((), math.nan, dtype=params[0].dtype, device=params[0].device)
        sense = 1 if options.rotation == DimerRotation.MAXIMUM_CURVATURE else -1
        per = options.displacement if options.force == DimerForce.PER_DISPLACEMENT else 1.0
        self.kappa = sense * options.rotation_rate / per

    def displace(self, grads: Tensors | None = None) -> None:
        """Backs the parameters up, and the gradients if they are given, and displaces."""
        if grads is not None and not self.grad_backup:
            self.grad_backup = zeros_like(grads)
        if self.style == "loop":
            for i, (param, backup, n) in enumerate(zip(self.params, self.param_backup, self.direction)):
                backup.copy_(param)
                if grads is not None:
                    self.grad_backup[i].copy_(grads[i])
                param.add_(n, alpha=self.displacement)
            return
        copy_(self.param_backup, self.params)
        if grads is not None:
            copy_(self.grad_backup, grads)
        torch._foreach_add_(self.params, self.direction, alpha=self.displacement)

    def restore(self) -> None:
        if self.style == "loop":
            for param, backup in zip(self.params, self.param_backup):
                param.copy_(backup)
        else:
            copy_(self.params, self.param_backup)

    def step(self, grads: Tensors) -> None:
        """A step along the direction as it is."""
        self.apply(self.corrected(grads))

    def update(self, grads: Tensors, displaced_grads: Tensors) -> None:
        """Ends an update: turns the direction, and steps from where the displacement began."""
        if self.style == "loop":
            self.loop_rotate(grads, displaced_grads)
        else:
            self.foreach_rotate(grads, displaced_grads)
        self.restore()
        self.apply(self.corrected(grads))

    def loop_rotate(self, grads: Tensors, displaced_grads: Tensors) -> None:
        differences = [g2 - g for g, g2 in zip(grads, displaced_grads)]
        a = sum((d * n).sum() for d, n in zip(differences, self.direction))
        self.curvature = a / self.displacement
        for n, d in zip(self.direction, differences):
            n.add_(d - a * n, alpha=self.kappa)
        norm = sum((n * n).sum() for n in self.direction).sqrt()
        for n in self.direction:
            n.div_(norm)

    def foreach_rotate(self, grads: Tensors, displaced_grads: Tensors) -> None:
        differences = torch._foreach_sub(displaced_grads, grads)
        a = dot(differences, self.direction)
        self.curvature = a / self.displacement
        scale_(self.direction, 1 - self.kappa * a)
        torch._foreach_add_(self.direction, differences, alpha=self.kappa)
        scale_(self.direction, dot(self.direction, self.direction).rsqrt())

    def corrected(self, grads: Tensors) -> Tensors:
        if self.style == "loop":
            projection = sum((g * n).sum() for g, n in zip(grads, self.direction))
        else:
            projection = dot(grads, self.direction)
        factor = self.alpha * projection
        if self.escape:
            factor = torch.where(self.curvature < 0, -factor, torch.zeros_like(factor))
        if self.style == "loop":
            return [g - factor * n for g, n in zip(grads, self.direction)]
        return list(torch._foreach_sub(grads, scaled(self.direction, factor)))
