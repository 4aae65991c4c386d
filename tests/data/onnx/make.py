"""Makes the files beside it: small networks exported to ONNX by both of torch's exporters.

    python make.py

Made with torch 2.13 (CPU), onnx 1.23.2 and onnxscript 0.7.2. ``X.onnx`` is by the exporter that
traces, ``X_old.onnx`` by the same in opset 13, ``X_dynamo.onnx`` by the one that follows the
program; ``X.npz`` holds an input ``x`` and what torch gave for it, ``y``.
"""

import warnings
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

HERE = Path(__file__).parent


class Residual(nn.Module):
    """Convolutions around a shortcut, each with a batch normalisation."""

    def __init__(self):
        super().__init__()
        self.c1, self.b1 = nn.Conv2d(3, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8)
        self.c2, self.b2 = nn.Conv2d(8, 8, 3, padding=1), nn.BatchNorm2d(8)
        self.pool, self.out = nn.AdaptiveAvgPool2d(1), nn.Linear(8, 5)

    def forward(self, x):
        a = torch.relu(self.b1(self.c1(x)))
        b = torch.relu(self.b2(self.c2(a)) + a)
        return self.out(self.pool(b).flatten(1))


class Attention(nn.Module):
    """A block of a transformer."""

    def __init__(self):
        super().__init__()
        self.qkv, self.norm = nn.Linear(8, 24), nn.LayerNorm(8)
        self.mlp = nn.Sequential(nn.Linear(8, 16), nn.GELU(), nn.Linear(16, 8))

    def forward(self, x):
        q, k, v = self.qkv(self.norm(x)).chunk(3, -1)
        x = x + torch.softmax(q @ k.transpose(1, 2) / 8**0.5, -1) @ v
        return (x + self.mlp(x)).mean(1)


class Viewed(nn.Module):
    """Uneven padding, ReLU6, and a view by the size of the batch."""

    def __init__(self):
        super().__init__()
        self.conv, self.out = nn.Conv2d(1, 4, 3, stride=2), nn.Linear(16, 3)

    def forward(self, x):
        x = F.max_pool2d(F.relu6(self.conv(F.pad(x, (1, 0, 0, 1)))), 2, 1)
        return torch.log_softmax(self.out(x.view(x.size(0), -1)), 1)


MODELS = {
    "mlp": (
        nn.Sequential(
            *(nn.Flatten(), nn.Linear(12, 8), nn.ReLU(), nn.Dropout()),
            *(nn.Linear(8, 4), nn.Softmax(-1)),
        ),
        (3, 4),
    ),
    "residual": (Residual(), (3, 6, 6)),
    "attention": (Attention(), (5, 8)),
    "viewed": (Viewed(), (1, 6, 6)),
    "sequence": (
        nn.Sequential(
            *(nn.Conv1d(2, 4, 3, padding="same"), nn.BatchNorm1d(4), nn.PReLU(4), nn.AvgPool1d(2)),
            *(nn.ELU(), nn.GroupNorm(2, 4), nn.Hardtanh(), nn.Flatten()),
            *(nn.Linear(12, 3), nn.LeakyReLU()),
        ),
        (2, 6),
    ),
}


def main():
    torch.manual_seed(0)
    warnings.simplefilter("ignore")
    for name, (model, shape) in MODELS.items():
        model.eval()
        for parameter in model.parameters():
            parameter.data.normal_(0, 0.5)
        for module in model.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.running_var.uniform_(0.5, 2)
                module.running_mean.normal_()
        x = torch.randn(3, *shape)
        np.savez_compressed(HERE / f"{name}.npz", x=x.numpy(), y=model(x).detach().numpy())
        traced = {"dynamo": False, "input_names": ["x"], "dynamic_axes": {"x": {0: "batch"}}}
        torch.onnx.export(model, (x,), HERE / f"{name}.onnx", **traced)
        if name == "attention":  # whose layers are written out there
            torch.onnx.export(model, (x,), HERE / f"{name}_old.onnx", opset_version=13, **traced)
        open_batch = ({0: torch.export.Dim("batch")},)
        program = torch.onnx.export(model, (x,), dynamo=True, dynamic_shapes=open_batch)
        for node in program.model.graph:
            node.metadata_props.clear()  # stack traces, with the paths of whoever exports
        program.save(HERE / f"{name}_dynamo.onnx", external_data=False)


if __name__ == "__main__":
    main()
