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


RULES = {}  # the class of each rule, by the rule's name in traces


class Rule:
    """An update rule over one tensor. A rule is a class below this one and nothing else: it names itself, its options
    with their values unless a trace says otherwise, and its traces with what they say."""

    NAMES = ()
    OPTIONS = {}
    TRACES = {}
    # What a trace gives beside the gradient: name -> (the steps that have it, the smallest value, the largest).
    INPUTS = {}

    def __init_subclass__(cls):
        RULES.update(dict.fromkeys(cls.NAMES, cls))

    def __init__(self, options, size):
        self.options = options
        self.states = {}  # by name; what a trace holds after the last step

    def step(self, t, theta, gradient, inputs):
        """Takes step t, counted from 1. `inputs` are those that are given in this step, by name."""
        raise NotImplementedError


def options_of(rule, **changes):
    return {"rule": rule, **RULES[rule].OPTIONS, **changes}


class Adam(Rule):
    """Adam, AdamW, InvAdam and DualAdam. The update u of theta -= lr * u is a * inverse + (1 - a) * adam."""

    NAMES = ("adam", "adamw", "invadam", "dualadam")
    OPTIONS = {
        "lr": 0.01, "betas": [0.9, 0.999], "eps": 1e-8, "weight_decay": 0.0, "decoupled": False, "amsgrad": False,
        "maximize": False, "xi": 0.0, "inverse_eps": False,
    }
    # Where an option would otherwise vanish in the tolerance, its value is large enough to be seen.
    TRACES = {
        "adam": {"rule": "adam", "eps": 1e-3},
        "adam-l2-amsgrad": {"rule": "adam", "amsgrad": True, "weight_decay": 0.1, "betas": [0.8, 0.7]},
        "adamw-maximize": {
            "rule": "adamw", "maximize": True, "weight_decay": 0.1, "decoupled": True, "betas": [0.9, 0.95]},
        "invadam": {"rule": "invadam", "lr": 0.05, "betas": [0.8, 0.9]},
        # Adam from step 5 on.
        "dualadam": {"rule": "dualadam", "xi": 0.2, "weight_decay": 0.05, "decoupled": True},
        "dualadam-inverse-eps": {"rule": "dualadam", "xi": 0.06, "eps": 0.05, "inverse_eps": True},
    }

    def __init__(self, options, size):
        super().__init__(options, size)
        self.m = [0.0] * size
        self.v = [0.0] * size
        self.largest_v = [0.0] * size
        self.states = {"exp_avg": self.m, "exp_avg_sq": self.v}
        if options["amsgrad"]:
            self.states["max_exp_avg_sq"] = self.largest_v

    def step(self, t, theta, gradient, inputs):
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


class Adan(Rule):
    """Adan (arXiv 2208.06677), as the authors' code has it: with bias correction, and from zero states."""

    NAMES = ("adan",)
    OPTIONS = {"lr": 0.01, "weight_decay": 0.0, "betas": [0.9, 0.8, 0.95], "eps": 1e-3, "no_prox": False}
    TRACES = {
        "adan": {"rule": "adan"},
        "adan-prox": {"rule": "adan", "weight_decay": 0.5, "betas": [0.98, 0.92, 0.99], "eps": 1e-8},
        "adan-no-prox": {"rule": "adan", "weight_decay": 0.5, "no_prox": True},
    }

    def __init__(self, options, size):
        super().__init__(options, size)
        self.m = [0.0] * size
        self.v = [0.0] * size
        self.n = [0.0] * size
        self.last = [0.0] * size
        self.states = {"exp_avg": self.m, "exp_avg_diff": self.v, "exp_avg_sq": self.n, "pre_grad": self.last}

    def step(self, t, theta, gradient, inputs):
        o = self.options
        beta1, beta2, beta3 = o["betas"]
        for i, g in enumerate(gradient):
            difference = g - self.last[i] if t > 1 else 0.0
            self.m[i] = beta1 * self.m[i] + (1 - beta1) * g
            self.v[i] = beta2 * self.v[i] + (1 - beta2) * difference
            self.n[i] = beta3 * self.n[i] + (1 - beta3) * (g + beta2 * difference) ** 2
            self.last[i] = g
            m_hat, v_hat = self.m[i] / (1 - beta1**t), self.v[i] / (1 - beta2**t)
            update = (m_hat + beta2 * v_hat) / (math.sqrt(self.n[i] / (1 - beta3**t)) + o["eps"])
            if o["no_prox"]:
                theta[i] = theta[i] * (1 - o["lr"] * o["weight_decay"]) - o["lr"] * update
            else:
                theta[i] = (theta[i] - o["lr"] * update) / (1 + o["lr"] * o["weight_decay"])


class Sgd(Rule):
    """Stochastic gradient descent; with momentum, and with Nesterov's."""

    NAMES = ("sgd",)
    OPTIONS = {"lr": 0.1, "momentum": 0.0, "nesterov": False, "weight_decay": 0.0}
    TRACES = {
        "sgd": {"rule": "sgd", "weight_decay": 0.01},
        "sgd-momentum-nesterov": {"rule": "sgd", "momentum": 0.9, "nesterov": True},
    }

    def __init__(self, options, size):
        super().__init__(options, size)
        self.buffer = [0.0] * size
        if options["momentum"] > 0:
            self.states = {"momentum_buffer": self.buffer}

    def step(self, t, theta, gradient, inputs):
        o = self.options
        for i, g in enumerate(gradient):
            g += o["weight_decay"] * theta[i]
            self.buffer[i] = o["momentum"] * self.buffer[i] + g
            theta[i] -= o["lr"] * (g + o["momentum"] * self.buffer[i] if o["nesterov"] else self.buffer[i])


class Sophia(Rule):
    """Sophia (arXiv 2305.14342, algorithm 3). Its decay is decoupled."""

    NAMES = ("sophia",)
    OPTIONS = {
        "lr": 0.01, "weight_decay": 0.1, "betas": [0.9, 0.7], "gamma": 1.0, "eps": 1e-12, "decoupled": True,
    }
    TRACES = {
        "sophia": {"rule": "sophia"},
        # eps is the denominator of many elements.
        "sophia-floor": {"rule": "sophia", "weight_decay": 0.0, "eps": 0.1},
    }
    # Some elements have a negative curvature.
    INPUTS = {"hessian": (range(1, 100, 3), -0.5, 1.5)}

    def __init__(self, options, size):
        super().__init__(options, size)
        self.m = [0.0] * size
        self.h = [0.0] * size
        self.states = {"exp_avg": self.m, "hessian": self.h}

    def step(self, t, theta, gradient, inputs):
        o = self.options
        beta1, beta2 = o["betas"]
        for i, g in enumerate(gradient):
            self.m[i] = beta1 * self.m[i] + (1 - beta1) * g
            if "hessian" in inputs:
                self.h[i] = beta2 * self.h[i] + (1 - beta2) * inputs["hessian"][i]
            theta[i] *= 1 - o["lr"] * o["weight_decay"]
            update = self.m[i] / max(o["gamma"] * self.h[i], o["eps"])
            theta[i] -= o["lr"] * min(max(update, -1.0), 1.0)


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
                for n, d in zip(self.directions, differences):
                    planes.append(normalized(combined(1, d, -dot(d, n), n)) if n else [])
                self.turn(differences, planes, self.differences(theta, planes))

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
                self.directions[scope] = combined(cosine, n, sine, t)

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
