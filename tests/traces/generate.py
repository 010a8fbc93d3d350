#!/usr/bin/env python3
"""Writes the traces of this folder: runs of each update rule of rules.py, in float64.

    python3 tests/traces/generate.py [FOLDER]

Needs the standard library only. The same files come out every time; docs/trace-format.md describes them.
"""

import json
import math
import pathlib
import random
import struct
import sys

from rules import RULES, options_of

# An empty tensor and a scalar are ordinary input.
SHAPES = [[2, 3], [0], [], [5]]
TOLERANCE = {"rtol": 1e-6, "atol": 1e-6}


def float32(x):
    """The float32 nearest to x, as a float64."""
    return struct.unpack("<f", struct.pack("<f", x))[0]


def dimer(**changes):
    options = {
        "scope": "global", "interval": 3, "displacement": 0.01, "rotation_rate": 0.05, "alpha": 1.0,
        "force": "per-displacement", "rotation": "minimum", "correction": "published", "angle": "fixed-rate",
        "rotations": 1,
    }
    options.update(changes)
    return options


def dot(x, y):
    return sum(a * b for a, b in zip(x, y))


def normalized(x):
    length = math.sqrt(dot(x, x))
    return [a / length for a in x]


def combined(a, x, b, y):
    return [a * p + b * q for p, q in zip(x, y)]


class Dimer:
    """The directions of one run, each over some of the elements of theta; step by step, without any algebra."""

    def __init__(self, options, gradient, ranges, direction):
        self.options = options
        self.gradient = gradient  # of the loss at any theta, over all elements
        self.ranges = ranges
        self.directions = [normalized(direction[begin:end]) if end > begin else [] for begin, end in ranges]
        self.curvature = [0.0] * len(ranges)
        # Of conjugate directions: the tangent of each last turn, and how much of it the next search takes.
        self.ways = [None] * len(ranges)
        self.takes = [0.0] * len(ranges)

    def differences(self, theta, along):
        """The change of the gradient when theta is displaced along all the directions at once."""
        displacement = self.options["displacement"]
        moved = list(theta)
        for (begin, end), direction in zip(self.ranges, along):
            for i in range(begin, end):
                moved[i] += displacement * direction[i - begin]
        change = combined(1, self.gradient(moved), -1, self.gradient(theta))
        return [change[begin:end] for begin, end in self.ranges]

    def update(self, theta):
        o = self.options
        for _ in range(o["rotations"]):
            differences = self.differences(theta, self.directions)
            if o["angle"] == "fixed-rate":
                self.rotate(differences)
            else:
                planes = []
                for scope, (n, d) in enumerate(zip(self.directions, differences)):
                    planes.append(normalized(self.search(scope, n, combined(1, d, -dot(d, n), n))) if n else [])
                self.turn(differences, planes, self.differences(theta, planes))

    def search(self, scope, n, force):
        """The force, or a direction that is conjugate to the last one, if that leads along the force."""
        way = self.ways[scope]
        if self.options["angle"] != "conjugate" or way is None:
            return force
        direction = combined(1, force, self.takes[scope], normalized(combined(1, way, -dot(way, n), n)))
        return direction if dot(direction, force) > 0 else force

    def rotate(self, differences):
        o = self.options
        kappa = o["rotation_rate"] * (-1 if o["rotation"] == "minimum" else 1)
        if o["force"] == "per-displacement":
            kappa /= o["displacement"]
        for scope, (n, d) in enumerate(zip(self.directions, differences)):
            if n:
                a = dot(d, n)
                force = combined(1, d, -a, n)
                self.curvature[scope] = a / o["displacement"]
                self.directions[scope] = normalized(combined(1, n, kappa, force))

    def turn(self, along_n, planes, along_t):
        o = self.options
        for scope, (n, dn, t, dt) in enumerate(zip(self.directions, along_n, planes, along_t)):
            if n:
                c_n, c_t = dot(dn, n) / o["displacement"], dot(dt, t) / o["displacement"]
                c_nt = (dot(dn, t) + dot(dt, n)) / 2 / o["displacement"]
                angle = math.atan2(c_nt, (c_n - c_t) / 2) / 2  # of the largest curvature
                if o["rotation"] == "minimum":
                    angle += math.pi / 2
                cosine, sine = math.cos(angle), math.sin(angle)
                if cosine < 0:
                    cosine, sine = -cosine, -sine
                self.curvature[scope] = cosine**2 * c_n + 2 * cosine * sine * c_nt + sine**2 * c_t
                now, way = combined(cosine, n, sine, t), combined(-sine, n, cosine, t)
                change, change_of_way = combined(cosine, dn, sine, dt), combined(-sine, dn, cosine, dt)
                force = combined(1, change, -dot(change, now), now)
                # (force + take way) . (H - C) way = 0
                take = -dot(force, change_of_way) / (dot(way, change_of_way) - dot(now, change))
                self.directions[scope], self.ways[scope], self.takes[scope] = now, way, take

    def correct(self, gradient):
        o = self.options
        result = list(gradient)
        for (begin, end), n, curvature in zip(self.ranges, self.directions, self.curvature):
            weight = o["alpha"] if o["correction"] == "published" else -o["alpha"] if curvature < 0 else 0.0
            result[begin:end] = combined(1, gradient[begin:end], -weight * dot(gradient[begin:end], n), n)
        return result


STEPS = 10

# With a dimer around them, on a quadratic loss.
DIMER_TRACES = {
    "deo-adam": (
        options_of("adam", lr=0.05), dimer(displacement=0.5, rotation_rate=0.001, alpha=5.0, force="difference")),
    "deo-adamw-escape": (
        options_of("adamw", decoupled=True, weight_decay=0.1),
        dimer(displacement=0.5, correction="escape", alpha=2.0, interval=1)),
    "deo-dualadam-optimal": (options_of("dualadam", xi=0.1), dimer(displacement=0.5, angle="optimal", rotations=2)),
    "deo-sgd-conjugate": (
        options_of("sgd", lr=0.02), dimer(displacement=0.5, interval=2, angle="conjugate", correction="escape")),
    "deo-sgd-per-tensor": (
        options_of("sgd", lr=0.02, momentum=0.9), dimer(scope="per-tensor", rotation="maximum", alpha=0.5)),
}
DIMER_STEPS = 12
# A curvature is the difference of two gradients that are float32, so displacements are large; the loss is quadratic.
DIMER_TOLERANCE = {"rtol": 5e-5, "atol": 1e-6}


def trace(name, options):
    source = random.Random(name)

    def numbers(shape, low, high):
        return [float32(source.uniform(low, high)) for _ in range(math.prod(shape))]

    tensors = [{"shape": shape, "param": numbers(shape, -2, 2)} for shape in SHAPES]
    theta = [list(tensor["param"]) for tensor in tensors]
    kind = RULES[options["rule"]]
    rules = [kind(options, len(values)) for values in theta]
    steps = []
    for t in range(1, STEPS + 1):
        # They get smaller, so that the running maximum of AMSGrad is not the last value.
        gradients = [numbers(shape, -2 / t, 2 / t) for shape in SHAPES]
        inputs = {
            name: [numbers(shape, low, high) for shape in SHAPES]
            for name, (given, low, high) in kind.INPUTS.items()
            if t in given
        }
        for i, rule in enumerate(rules):
            rule.step(t, theta[i], gradients[i], {name: values[i] for name, values in inputs.items()})
        steps.append({"grads": gradients, **inputs, "params": [list(values) for values in theta]})
    if rules[0].states:
        steps[-1]["states"] = {name: [rule.states[name] for rule in rules] for name in rules[0].states}
    return {
        "format": "nativeopt-trace/1",
        "source": "equations in float64, tests/traces/generate.py",
        "optimizer": options,
        "tensors": tensors,
        "steps": steps,
        "tolerance": TOLERANCE,
    }


def quadratic(source, size):
    """A random symmetric matrix with eigenvalues from -1 to 5, row-major."""
    axes = []
    for _ in range(size):
        axis = [source.gauss(0, 1) for _ in range(size)]
        for other in axes:
            axis = combined(1, axis, -dot(axis, other), other)
        axes.append(normalized(axis))
    values = [-1 + 6 * k / (size - 1) for k in range(size)]
    return [sum(v * a[i] * a[j] for v, a in zip(values, axes)) for i in range(size) for j in range(size)]


def dimer_trace(name, options, dimer_options):
    source = random.Random(name)
    sizes = [math.prod(shape) for shape in SHAPES]
    size = sum(sizes)
    hessian = quadratic(source, size)
    theta = [float32(source.uniform(-2, 2)) for _ in range(size)]
    bounds = [(sum(sizes[:i]), sum(sizes[: i + 1])) for i in range(len(sizes))]
    ranges = bounds if dimer_options["scope"] == "per-tensor" else [(0, size)]
    scopes = [normalized([source.gauss(0, 1) for _ in range(end - begin)]) if end > begin else [] for begin, end in ranges]
    direction = [float32(x) for scope in scopes for x in scope]

    def gradient(x):
        return [dot(hessian[i * size : (i + 1) * size], x) for i in range(size)]

    def split(x):
        return [list(x[begin:end]) for begin, end in bounds]

    follower = Dimer(dimer_options, gradient, ranges, direction)
    tensors = [
        {"shape": shape, "param": param, "direction": part}
        for shape, param, part in zip(SHAPES, split(theta), split(direction))
    ]
    rules = [RULES[options["rule"]](options, count) for count in sizes]
    steps = []
    for t in range(1, DIMER_STEPS + 1):
        if (t - 1) % dimer_options["interval"] == 0:
            follower.update(theta)
        parts = split(theta)
        for rule, values, part in zip(rules, parts, split(follower.correct(gradient(theta)))):
            rule.step(t, values, part, {})
        theta = [x for part in parts for x in part]
        steps.append({
            "params": parts,
            "directions": split([x for scope in follower.directions for x in scope]),
            "curvature": list(follower.curvature),
        })
    return {
        "format": "nativeopt-trace/1",
        "source": "equations in float64, tests/traces/generate.py",
        "optimizer": options,
        "dimer": dimer_options,
        "problem": {"kind": "quadratic", "hessian": hessian},
        "tensors": tensors,
        "steps": steps,
        "tolerance": DIMER_TOLERANCE,
    }


def write(folder, name, contents):
    text = json.dumps(contents, separators=(",", ":"))
    for member in ("grads", "params"):
        text = text.replace(',{"%s"' % member, ',\n{"%s"' % member)
    (folder / f"{name}.json").write_text(text + "\n", encoding="utf-8", newline="\n")


def main():
    folder = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else pathlib.Path(__file__).parent
    folder.mkdir(parents=True, exist_ok=True)
    for kind in dict.fromkeys(RULES.values()):
        for name, says in kind.TRACES.items():
            write(folder, name, trace(name, options_of(**says)))
    for name, (options, dimer_options) in DIMER_TRACES.items():
        write(folder, name, dimer_trace(name, options, dimer_options))


if __name__ == "__main__":
    main()
