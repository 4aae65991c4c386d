"""How well the digits network does in integers of few bits, trained further for them or not.

Run it from the repository: ``python examples/quantize_digits.py``. It prints the table that
docs/quantize.md shows, in some two minutes of processor time.
"""

from typing import Literal

import numpy as np
import torch
from digits import MODEL, STEPS, load_split
from torch import Tensor, nn

from t1c import bridge, ir, sdk

BITS = (8, 4, 3, 2)
EPOCHS = 6


def accuracy(graph: ir.Graph, images: Tensor, labels: Tensor) -> float:
    """The share of test images that a graph of integers gets right."""
    result = sdk.run(graph, sdk.as_samples(images.numpy(), graph, steps=STEPS))
    (prediction,) = result.prediction.values()
    return float((prediction == labels.numpy()).mean())


def trained_for(graph: ir.Graph, bits: int, images: Tensor, labels: Tensor) -> ir.Graph:
    """The graph after a few epochs with weights of so many bits."""
    torch.manual_seed(0)
    executor = bridge.ir_to_torch(graph)
    bridge.fake_quantize(executor, bits)
    optimizer = torch.optim.Adam(executor.parameters(), lr=1e-3)
    executor.train()
    for _ in range(EPOCHS):
        for batch in torch.randperm(len(images)).split(64):
            spikes, _ = executor.run(images[batch].expand(STEPS, *images[batch].shape))
            loss = nn.functional.cross_entropy(spikes.sum(0) / 2, labels[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    executor.eval()
    bridge.settle_weights(executor)
    return bridge.to_ir(executor, images[:2].expand(STEPS, 2, *images.shape[1:]))


def main() -> None:
    """Print the table."""
    (images, labels), (test_images, test_labels) = load_split()
    graph = ir.read(MODEL)
    shown = images[:100].numpy()
    full = accuracy(graph, test_images, test_labels)
    size = sum(p.nbytes for node in graph.nodes.values() for p in node.parameters().values())
    print("| weights | largest | least squares | trained further | bytes |")
    print("|---|---|---|---|---|")
    print(f"| float32 | {100 * full:.1f} % | | | {size:,} |")
    for bits in BITS:
        row = []
        fits: tuple[Literal["largest", "least_squares"], ...] = ("largest", "least_squares")
        for fit in fits:
            small = sdk.quantize(graph, bits, calibrate=shown, steps=STEPS, fit=fit)
            row.append(accuracy(small, test_images, test_labels))
        tuned = trained_for(graph, bits, images, labels)
        small = sdk.quantize(tuned, bits, calibrate=shown, steps=STEPS)
        row.append(accuracy(small, test_images, test_labels))
        report = sdk.quantization_report(tuned, small, np.asarray(shown[:20]), steps=STEPS)
        cells = " | ".join(f"{100 * share:.1f} %" for share in row)
        print(f"| {bits} bits | {cells} | {report.bytes[1]:,} |", flush=True)


if __name__ == "__main__":
    main()
