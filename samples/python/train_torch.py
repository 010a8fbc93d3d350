#!/usr/bin/env python3
"""A small network of torch, stepped through the C API by ctypes.

NATIVEOPT_LIBRARY names the native library. The learning rate is the first argument and the device the second one (cpu by default;
cuda is not yet run). The exit code is 0 if the loss fell.
"""

import pathlib
import sys

import torch

# The module needs nothing but Python: copy it beside a program of your own.
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "bench/pytorch"))
from nativeopt import Library, Optimizer, ParamSet

learning_rate = float(sys.argv[1]) if len(sys.argv) > 1 else 0.02
device = torch.device(sys.argv[2] if len(sys.argv) > 2 else "cpu")
torch.manual_seed(1)
model = torch.nn.Sequential(torch.nn.Linear(1, 32), torch.nn.Tanh(), torch.nn.Linear(32, 1)).to(device)
inputs = torch.linspace(-1, 1, 64, device=device).unsqueeze(1)
outputs = torch.sin(3 * inputs)

params = list(model.parameters())
library = Library()
with ParamSet(library, params) as parameters, Optimizer(parameters, "dualadam", lr=learning_rate) as optimizer:
    optimizer.set("switching_rate", 0.01)
    for state in optimizer.hyperparams.states():
        optimizer.bind(state, [torch.zeros_like(param) for param in params])
    losses = []
    for step in range(501):
        model.zero_grad(set_to_none=True)
        loss = torch.nn.functional.mse_loss(model(inputs), outputs)
        loss.backward()
        losses.append(loss.item())
        if step % 100 == 0:
            print(f"step {step}: loss {losses[-1]:.4g}")
        parameters.bind("grad", [param.grad for param in params])  # torch may have allocated them anew
        optimizer.step(torch.cuda.current_stream().cuda_stream if device.type == "cuda" else None)

sys.exit(0 if losses[-1] < 0.05 * losses[0] else 1)
