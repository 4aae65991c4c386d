"""This project's C: the graph as a header and a source, compiled for this processor."""

from __future__ import annotations

import ctypes
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from t1c import deploy, ir

from .graphs import graph
from .model import Model
from .networks import Network

FLAGS = ("-std=c99", "-O3", "-ffp-contract=off", "-march=native", "-fPIC", "-shared")
LOOP = """
#include "model.h"
void run(model_state *s, size_t steps, const float *x, float *y) {
    for (size_t t = 0; t < steps; t++) {
        model_step(s, x + t * INPUTS, y + t * OUTPUTS);
    }
}
"""


class InC(Model):
    """`model_step` in a loop of C for sequences, called by address for steps."""

    def __init__(self, network: Network):
        super().__init__()
        self.inputs = int(np.prod(network.shape))
        self.shape = network.layers[-1].shape
        self.outputs = int(np.prod(self.shape))
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            report = deploy.to_c(graph(ir, network), folder)
            loop = LOOP.replace("INPUTS", str(self.inputs)).replace("OUTPUTS", str(self.outputs))
            (folder / "loop.c").write_text(loop)
            command = ["gcc", *FLAGS, "-o", "model.so", "loop.c", "model.c"]
            subprocess.run(command, cwd=folder, check=True)
            self.code = ctypes.CDLL(str(folder / "model.so"))
        self.code.run.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *2 * [ctypes.c_void_p]]
        self.code.model_step.argtypes = 3 * [ctypes.c_void_p]
        self.code.model_reset.argtypes = [ctypes.c_void_p]
        # What holds in between may be counted in the state or beside it.
        self.bytes = report.state + report.scratch

    def forward(self, xs: Tensor) -> Tensor:
        """One call for each sample."""
        sent = torch.empty(xs.shape[1], len(xs), self.outputs)
        for given, y in zip(xs.unbind(1), sent, strict=True):
            state, x = self._rested(), given.contiguous()
            self.code.run(state.data_ptr(), len(xs), x.data_ptr(), y.data_ptr())
        return sent.transpose(0, 1).unflatten(2, self.shape)

    def step(self, x: Tensor, state: Any) -> tuple[Tensor, Any]:
        """One call: the state is one sample's."""
        if state is None:
            state = self._rested()
        y = torch.empty(1, *self.shape)
        self.code.model_step(state.data_ptr(), x.data_ptr(), y.data_ptr())
        return y, state

    def _rested(self) -> Tensor:
        state = torch.empty(self.bytes, dtype=torch.uint8)
        self.code.model_reset(state.data_ptr())
        return state
