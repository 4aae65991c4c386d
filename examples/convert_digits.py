"""Make spiking networks of ordinary CNNs that came as ONNX files, and see what they cost.

    python examples/convert_digits.py        (needs: pip install 't1c[demo,onnx]')

``train_digits_cnn.py`` trained the two networks and exported them. Here they become graphs; the
thresholds of the first are calibrated on training images, those of the second were trained and are
read from the model. An image stands still for as many steps as the network may take.
"""

from collections.abc import Sequence
from typing import Any

import digits
import numpy as np
import torch
from numpy.typing import NDArray

from t1c import ir, onnx, sdk
from t1c.bridge import ir_to_torch

STEPS = (4, 8, 16, 32, 64)


def answers(graph: ir.Graph, images: NDArray[np.float32]) -> NDArray[np.int64]:
    """The class that a graph gives each image; of a spiking one, after all of its steps."""
    held = any(node.hold for node in graph.inputs().values())
    with torch.no_grad():
        out, _ = ir_to_torch(graph).run(torch.from_numpy(images if held else images[None]))
    found: NDArray[np.int64] = (out if held else out[0]).argmax(dim=1).numpy()
    return found


def main(counts: Sequence[int] = STEPS) -> None:
    """Print the accuracy of each network, and of what it becomes, by steps."""
    train, test = ((split.images.numpy(), split.labels.numpy()) for split in digits.load_split())
    calibration = train[0][::4]
    print("network  thresholds   ANN      " + "".join(f"{steps:>4} steps" for steps in counts))
    ways: list[tuple[str, str, dict[str, Any]]] = [
        ("relu", "per layer", {"percentile": 99.9}),
        ("relu", "per channel", {"percentile": 99.9, "per_channel": True}),
        ("qcfs", "trained", {}),
    ]
    for name, kind, options in ways:
        graph = onnx.read(digits.FOLDER / f"digits_{name}.onnx")
        row = [(answers(graph, test[0]) == test[1]).mean()]
        for steps in counts:
            inputs = None if name == "qcfs" else calibration
            spiking = sdk.convert_to_spiking(graph, inputs, steps=steps, start=0.5, **options)
            row.append((answers(spiking, test[0]) == test[1]).mean())
        print(f"{name:8} {kind:12} {row[0]:.2%}   " + "".join(f"{r:>10.2%}" for r in row[1:]))


if __name__ == "__main__":
    main()
