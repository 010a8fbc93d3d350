#!/usr/bin/env python3
"""Linear regression on arrays of numpy, stepped through the C API by ctypes.

NATIVEOPT_LIBRARY names the native library. The learning rate is the argument, and the exit code is 0 if the loss fell.
"""

import pathlib
import sys

import numpy as np

# The module needs nothing but Python: copy it beside a program of your own.
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "bench/pytorch"))
from nativeopt import Library, Optimizer, ParamSet

learning_rate = float(sys.argv[1]) if len(sys.argv) > 1 else 0.05
random = np.random.default_rng(1)
inputs = random.uniform(-1, 1, (256, 16)).astype(np.float32)
outputs = inputs @ np.arange(16, dtype=np.float32)

weights = np.zeros(16, np.float32)
gradient = np.zeros(16, np.float32)
library = Library()
with ParamSet(library, [weights]) as parameters, Optimizer(parameters, "adam", lr=learning_rate) as optimizer:
    parameters.bind("grad", [gradient])
    for state in optimizer.hyperparams.states():
        optimizer.bind(state, [np.zeros_like(weights)])
    losses = []
    for step in range(1001):
        error = inputs @ weights - outputs
        losses.append(float(np.mean(error * error)))
        if step % 200 == 0:
            print(f"step {step}: loss {losses[-1]:.4g}")
        gradient[:] = 2 / len(error) * (error @ inputs)  # into the memory that is bound
        optimizer.step()

sys.exit(0 if losses[-1] < 0.05 * losses[0] else 1)
