"""Train ordinary CNNs on handwritten digits and export them, as anybody would, to ONNX.

    python examples/train_digits_cnn.py        (needs: pip install 't1c[demo,onnx]' onnxscript)

Two networks of the same layers come out of it, for ``convert_digits.py`` to make spiking ones of:

- ``digits_relu.onnx``: plain ReLUs;
- ``digits_qcfs.onnx``: activations that were trained in 8 steps up to a threshold that was trained
  too (QCFS, Bu et al. 2022), so that few steps of a spiking neuron say the same.
"""

from collections.abc import Callable
from pathlib import Path

import digits
import torch
from torch import Tensor, nn

SEED = 0
EPOCHS = 30
BATCH = 64
LEVELS = 8
HERE = Path(__file__).parent


class RoundedInSteps(nn.Module):
    """clip(floor(x L / θ + 1/2) / L, 0, 1) θ; its gradient is that of the clip."""

    def __init__(self) -> None:
        super().__init__()
        self.threshold = nn.Parameter(torch.tensor(4.0))

    def forward(self, x: Tensor) -> Tensor:
        share = (x / self.threshold).clamp(0, 1)
        steps = torch.floor(share * LEVELS + 0.5) / LEVELS
        if self.training:
            steps = share + (steps - share).detach()
        return steps * self.threshold


def build(activation: Callable[[], nn.Module]) -> nn.Sequential:
    """Two convolutional layers and two dense ones."""
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1),
        nn.BatchNorm2d(16),
        activation(),
        nn.AvgPool2d(2),
        nn.Conv2d(16, 32, 3, padding=1),
        nn.BatchNorm2d(32),
        activation(),
        nn.AvgPool2d(2),
        nn.Flatten(),
        nn.Linear(128, 64),
        activation(),
        nn.Linear(64, len(digits.CLASSES)),
    )


def trained(model: nn.Sequential, images: Tensor, labels: Tensor) -> nn.Sequential:
    """The model after its training, ready to be used."""
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, EPOCHS)
    for _ in range(EPOCHS):
        for batch in torch.randperm(len(images)).split(BATCH):
            loss = nn.functional.cross_entropy(model(images[batch]), labels[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        schedule.step()
    return model.eval()


def main() -> None:
    """Train both, print how good they are, and write them."""
    (images, labels), (test_images, test_labels) = digits.load_split()
    kinds: dict[str, Callable[[], nn.Module]] = {"relu": nn.ReLU, "qcfs": RoundedInSteps}
    for name, activation in kinds.items():
        torch.manual_seed(SEED)
        model = trained(build(activation), images, labels)
        right = (model(test_images).argmax(1) == test_labels).float().mean()
        print(f"{name}: {right:.2%} of {len(test_labels)} test images")
        program = torch.onnx.export(
            model,
            (images[:2],),
            dynamo=True,
            input_names=["image"],
            output_names=["answer"],
            dynamic_shapes=({0: torch.export.Dim("batch")},),
        )
        assert program is not None
        for node in program.model.graph:
            node.metadata_props.clear()  # stack traces, with the paths of whoever exports
        program.save(HERE / f"digits_{name}.onnx", external_data=False)


if __name__ == "__main__":
    main()
