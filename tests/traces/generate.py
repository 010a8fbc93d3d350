#!/usr/bin/env python3
"""Writes the traces of this folder: each update rule in float64, straight from its equations.

    python3 tests/traces/generate.py [FOLDER]

Needs the standard library only. The same files come out every time; docs/trace-format.md describes them.
"""

import json
import math
import pathlib
import random
import struct
import sys

# An empty tensor and a scalar are ordinary input.
SHAPES = [[2, 3], [0], [], [5]]
TOLERANCE = {"rtol": 1e-6, "atol": 1e-6}


def float32(x):
    """The float32 nearest to x, as a float64."""
    return struct.unpack("<f", struct.pack("<f", x))[0]


class Adam:
    """Adam, AdamW, InvAdam and DualAdam. The update u of theta -= lr * u is a * inverse + (1 - a) * adam."""

    def __init__(self, options, size):
        self.options = options
        self.m = [0.0] * size
        self.v = [0.0] * size
        self.largest_v = [0.0] * size

    def step(self, t, theta, gradient):
        o = self.options
        beta1, beta2 = o["betas"]
        a = {"adam": 0.0, "adamw": 0.0, "invadam": 1.0}.get(o["rule"])
        if a is None:
            a = max(0.0, 1 - o["xi"] * t)
        for i, g in enumerate(gradient):
            if o["maximize"]:
                g = -g
            if o["decoupled"]:
                theta[i] *= 1 - o["lr"] * o["weight_decay"]
            else:
                g += o["weight_decay"] * theta[i]
            self.m[i] = beta1 * self.m[i] + (1 - beta1) * g
            self.v[i] = beta2 * self.v[i] + (1 - beta2) * g * g
            self.largest_v[i] = max(self.largest_v[i], self.v[i])
            v = self.largest_v[i] if o["amsgrad"] else self.v[i]
            m_hat = self.m[i] / (1 - beta1**t)
            root = math.sqrt(v / (1 - beta2**t))
            inverse = m_hat * (root + o["eps"] if o["inverse_eps"] else root)
            theta[i] -= o["lr"] * (a * inverse + (1 - a) * m_hat / (root + o["eps"]))


class Sgd:
    def __init__(self, options, size):
        self.options = options
        self.buffer = [0.0] * size

    def step(self, t, theta, gradient):
        o = self.options
        for i, g in enumerate(gradient):
            g += o["weight_decay"] * theta[i]
            self.buffer[i] = o["momentum"] * self.buffer[i] + g
            theta[i] -= o["lr"] * (g + o["momentum"] * self.buffer[i] if o["nesterov"] else self.buffer[i])


def adam(rule="adam", **changes):
    options = {
        "rule": rule, "lr": 0.01, "betas": [0.9, 0.999], "eps": 1e-8, "weight_decay": 0.0, "decoupled": False,
        "amsgrad": False, "maximize": False, "xi": 0.0, "inverse_eps": False,
    }
    options.update(changes)
    return options


def sgd(**changes):
    options = {"rule": "sgd", "lr": 0.1, "momentum": 0.0, "nesterov": False, "weight_decay": 0.0}
    options.update(changes)
    return options


# Where an option would otherwise vanish in the tolerance, its value is large enough to be seen.
TRACES = {
    "adam": adam(eps=1e-3),
    "adam-l2-amsgrad": adam(amsgrad=True, weight_decay=0.1, betas=[0.8, 0.7]),
    "adamw-maximize": adam("adamw", maximize=True, weight_decay=0.1, decoupled=True, betas=[0.9, 0.95]),
    "invadam": adam("invadam", lr=0.05, betas=[0.8, 0.9]),
    "dualadam": adam("dualadam", xi=0.2, weight_decay=0.05, decoupled=True),  # Adam from step 5 on
    "dualadam-inverse-eps": adam("dualadam", xi=0.06, eps=0.05, inverse_eps=True),
    "sgd": sgd(weight_decay=0.01),
    "sgd-momentum-nesterov": sgd(momentum=0.9, nesterov=True),
}
STEPS = 10


def trace(name, options):
    source = random.Random(name)

    def numbers(shape, scale):
        return [float32(source.uniform(-scale, scale)) for _ in range(math.prod(shape))]

    tensors = [{"shape": shape, "param": numbers(shape, 2)} for shape in SHAPES]
    theta = [list(tensor["param"]) for tensor in tensors]
    rules = [(Sgd if options["rule"] == "sgd" else Adam)(options, len(values)) for values in theta]
    steps = []
    for t in range(1, STEPS + 1):
        # They get smaller, so that the running maximum of AMSGrad is not the last value.
        gradients = [numbers(shape, 2 / t) for shape in SHAPES]
        for rule, values, gradient in zip(rules, theta, gradients):
            rule.step(t, values, gradient)
        steps.append({"grads": gradients, "params": [list(values) for values in theta]})
    return {
        "format": "nativeopt-trace/1",
        "source": "equations in float64, tests/traces/generate.py",
        "optimizer": options,
        "tensors": tensors,
        "steps": steps,
        "tolerance": TOLERANCE,
    }


def main():
    folder = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else pathlib.Path(__file__).parent
    folder.mkdir(parents=True, exist_ok=True)
    for name, options in TRACES.items():
        text = json.dumps(trace(name, options), separators=(",", ":")).replace(',{"grads"', ',\n{"grads"')
        (folder / f"{name}.json").write_text(text + "\n", encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main()
