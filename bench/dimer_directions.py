"""Counts the gradients that a dimer needs to learn the direction of the smallest curvature.

    dimer_directions.py LIBRARY [--seeds 20] [--most 4000]

LIBRARY is libnativeopt. On random quadratics with known eigenvectors, gradients in float32, the dimer turns at each step, at
parameters that stay, until |N.q| >= 0.99 for the eigenvector q of the smallest eigenvalue. `noise` adds another symmetric
matrix of rank 8 to the Hessian of each step, of about that norm, as another minibatch would. Prints medians (quartiles) over
the seeds as a table in Markdown. Needs numpy. The table in docs/dimer.md is its output.
"""

import argparse
import ctypes

import numpy

PARAM, GRAD, DIRECTION, ROTATION_DIRECTION, PARAM_BACKUP, GRAD_BACKUP, GRAD_CHANGE = 0, 1, 4, 5, 6, 7, 9
FIXED_RATE, OPTIMAL, CONJUGATE = 0, 1, 2
PER_DISPLACEMENT = 1
DISPLACEMENT = 1e-2
PUBLISHED_RATE = 1e-3

# The name, the angle, the rate, the force, and the rotations of an update.
METHODS = [
    ("published: rate 1e-3, difference", FIXED_RATE, PUBLISHED_RATE, 0, 1),
    ("fixed rate 0.1, per displacement", FIXED_RATE, 0.1, PER_DISPLACEMENT, 1),
    ("… 3 rotations in an update", FIXED_RATE, 0.1, PER_DISPLACEMENT, 3),
    ("optimal angle", OPTIMAL, 0, 0, 1),
    ("… 3 rotations in an update", OPTIMAL, 0, 0, 3),
    ("… 10 rotations in an update", OPTIMAL, 0, 0, 10),
    ("conjugate directions", CONJUGATE, 0, 0, 1),
    ("… 3 rotations in an update", CONJUGATE, 0, 0, 3),
    ("… 10 rotations in an update", CONJUGATE, 0, 0, 10),
]

# The name, the size, the distance of the second eigenvalue from the first (0: all are evenly spread), and the noise.
PROBLEMS = [
    ("n = 200", 200, 0.0, 0.0),
    ("n = 50", 50, 0.0, 0.0),
    ("n = 200, a gap of 1", 200, 1.0, 0.0),
    ("n = 200, noise 0.5", 200, 0.0, 0.5),
    ("n = 200, noise 3", 200, 0.0, 3.0),
]


class Options(ctypes.Structure):
    _fields_ = [("struct_size", ctypes.c_uint32), ("rotation", ctypes.c_int32), ("force", ctypes.c_int32),
                ("angle", ctypes.c_int32), ("correction", ctypes.c_int32), ("reserved", ctypes.c_uint32),
                ("displacement", ctypes.c_double), ("rotation_rate", ctypes.c_double), ("alpha", ctypes.c_double)]


class Hyperparams(ctypes.Structure):
    _fields_ = [("struct_size", ctypes.c_uint32), ("flags", ctypes.c_uint32), ("rounding_seed", ctypes.c_uint64),
                ("values", ctypes.c_double * 12)]


class Quadratic:
    """H with eigenvalues from -1 to 10 along random directions, and its gradients."""

    def __init__(self, size, gap, noise, seed):
        self.random = numpy.random.default_rng(seed)
        basis, _ = numpy.linalg.qr(self.random.standard_normal((size, size)))
        spread = numpy.linspace(-1 + gap, 10, size - 1 if gap else size)
        eigenvalues = numpy.concatenate([[-1], spread]) if gap else spread
        self.hessian = (basis * eigenvalues) @ basis.T
        self.smallest = basis[:, 0]
        self.noise = noise
        self.of_batch = self.hessian

    def next_batch(self):
        if self.noise:
            size = len(self.smallest)
            factors = self.random.standard_normal((size, 8)) / numpy.sqrt(size)
            signs = numpy.sign(self.random.standard_normal(8))
            self.of_batch = self.hessian + self.noise * (factors * signs) @ factors.T

    def gradient(self, point):
        return (self.of_batch @ point.astype(numpy.float64)).astype(numpy.float32)


class Dimer:
    """A dimer around SGD with a learning rate of 0, over one tensor."""

    def __init__(self, library, size, method, seed):
        _, angle, rate, force, self.rotations = method
        self.library = library
        self.has_plane = angle != FIXED_RATE
        start = 1e-3 * numpy.random.default_rng(seed + 1000).standard_normal(size)
        self.buffers = {role: numpy.zeros(size, numpy.float32)
                        for role in (GRAD, DIRECTION, ROTATION_DIRECTION, PARAM_BACKUP, GRAD_BACKUP, GRAD_CHANGE)}
        self.buffers[PARAM] = start.astype(numpy.float32)
        self.set, self.optimizer, self.dimer = (ctypes.c_void_p() for _ in range(3))
        self.call("param_set_create", 0, 0, ctypes.c_int64(1), (ctypes.c_int64 * 1)(size), None, ctypes.byref(self.set))
        for role, buffer in self.buffers.items():
            self.call("param_set_bind", self.set, role, ctypes.c_int64(1), (ctypes.c_void_p * 1)(buffer.ctypes.data))
        self.call("optimizer_create", self.set, b"sgd", ctypes.byref(self.optimizer))
        self.call("dimer_create", self.optimizer, 0, ctypes.byref(self.dimer))
        self.call("dimer_init_direction", self.dimer, ctypes.c_uint64(seed), ctypes.c_int64(0), None)
        self.call("dimer_normalize_direction", self.dimer, None)
        self.options = Options(ctypes.sizeof(Options))
        self.call("dimer_get_defaults", ctypes.byref(self.options))
        self.options.angle, self.options.rotation_rate, self.options.force = angle, rate, force
        self.options.displacement = DISPLACEMENT
        self.hyperparams = Hyperparams(ctypes.sizeof(Hyperparams))
        self.call("rule_get_defaults", b"sgd", ctypes.byref(self.hyperparams))
        self.call("hyperparams_set", b"sgd", ctypes.byref(self.hyperparams), b"lr", ctypes.c_double(0))

    def call(self, name, *arguments):
        if getattr(self.library, "nopt_" + name)(*arguments) != 0:
            raise RuntimeError(f"nopt_{name}: {self.library.nopt_last_error_message().decode()}")

    def close(self):
        for name, handle in (("dimer", self.dimer), ("optimizer", self.optimizer), ("param_set", self.set)):
            self.call(name + "_destroy", handle)

    def has_arrived(self, quadratic):
        return abs(self.buffers[DIRECTION].astype(numpy.float64) @ quadratic.smallest) >= 0.99

    def gradients_to_arrive(self, quadratic, most):
        """The gradients until the direction is there; infinity if it is not with `most`."""
        count = 0

        def evaluate():
            nonlocal count
            self.buffers[GRAD][:] = quadratic.gradient(self.buffers[PARAM])
            count += 1

        options, hyperparams = ctypes.byref(self.options), ctypes.byref(self.hyperparams)
        while count < most:
            quadratic.next_batch()
            evaluate()
            self.call("dimer_displace", self.dimer, options, None)
            evaluate()
            for _ in range(self.rotations if self.has_plane else self.rotations - 1):
                self.call("dimer_rotate", self.dimer, options, hyperparams, None)
                if self.has_arrived(quadratic):
                    return count
                evaluate()
            self.call("dimer_step", self.dimer, options, hyperparams, None)
            if self.has_arrived(quadratic):
                return count
        return numpy.inf


def median_and_quartiles(counts, most):
    def text(value):
        return f"{value:,.0f}" if value < numpy.inf else f"> {most:,}"

    # Counts themselves, and no means between them: some may be infinite.
    low, middle, high = (numpy.percentile(counts, share, method="higher") for share in (25, 50, 75))
    return text(middle) if low == high else f"{text(middle)} ({text(low)}–{text(high)})"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("library")
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--most", type=int, default=4000, help="gradients after which a run gives up")
    arguments = parser.parse_args()
    library = ctypes.CDLL(arguments.library)
    library.nopt_last_error_message.restype = ctypes.c_char_p
    print("| | " + " | ".join(name for name, *_ in PROBLEMS) + " |")
    print("| --- |" + " ---: |" * len(PROBLEMS))
    for method in METHODS:
        cells = []
        for _, size, gap, noise in PROBLEMS:
            counts = []
            for seed in range(arguments.seeds):
                dimer = Dimer(library, size, method, seed)
                counts.append(dimer.gradients_to_arrive(Quadratic(size, gap, noise, seed), arguments.most))
                dimer.close()
            cells.append(median_and_quartiles(counts, arguments.most))
        print(f"| {method[0]} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
