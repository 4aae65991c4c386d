"""Train a small spiking network on handwritten digits with snnTorch, and write it as a .t1c file.

    python examples/train_digits.py        (needs: pip install 't1c[demo,snntorch]')

The network is two convolutional layers and one dense layer of leaky integrate-and-fire neurons.
They are snnTorch's ``Leaky`` as it comes: a neuron fires when its membrane passes the threshold,
and pays for it with one threshold at the start of the next step.

How an image becomes time: as a constant current. The 8x8 image, scaled to 0..1, is the input at
every one of 16 steps; nothing is random. The answer is the output neuron with the most spikes.

Three files come out of it: ``digits.t1c`` (the network), ``digits_test.npz`` (the test split, for
``t1c run``), and proof on the terminal that the file, read back and run by t1c, fires the very
spikes that snnTorch fires.
"""

import time
from collections import OrderedDict
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import digits
import numpy as np
import snntorch as snn
import torch
from numpy.typing import NDArray
from snntorch import utils
from snntorch.functional import mse_count_loss
from torch import Tensor, nn

from t1c import ir
from t1c.bridge import ir_to_torch

SEED = 0
EPOCHS = 40
BATCH = 64
LEARNING_RATE = 3e-3
ACTIVITY_COST = 0.5
BETA = 0.875  # a membrane keeps 7/8 of its charge per step: tau = 8 steps
GRID = 256  # weights end up as multiples of 1/256


def build() -> nn.Sequential:
    """The network, layer by layer; the names become the names of the graph's nodes."""
    return nn.Sequential(
        OrderedDict(
            conv1=nn.Conv2d(1, 16, kernel_size=(3, 3), padding=(1, 1)),
            lif1=snn.Leaky(BETA, init_hidden=True),
            pool1=nn.MaxPool2d(kernel_size=(2, 2)),
            conv2=nn.Conv2d(16, 32, kernel_size=(3, 3), padding=(1, 1)),
            lif2=snn.Leaky(BETA, init_hidden=True),
            pool2=nn.MaxPool2d(kernel_size=(2, 2)),
            flatten=nn.Flatten(),
            fc=nn.Linear(128, len(digits.CLASSES)),
            lif3=snn.Leaky(BETA, init_hidden=True),
        )
    )


def run(network: nn.Sequential, xs: Tensor) -> dict[str, Tensor]:
    """Run (T, B, 1, 8, 8) from rest: the spikes of each spiking layer by name, each (T, B, ...)."""
    utils.reset(network)
    spikes: dict[str, list[Tensor]] = {
        name: [] for name, layer in network.named_children() if isinstance(layer, snn.Leaky)
    }
    for x in xs:
        for name, layer in network.named_children():
            x = layer(x)
            if name in spikes:
                spikes[name].append(x)
    return {name: torch.stack(steps) for name, steps in spikes.items()}


def train(network: nn.Sequential, data: digits.Digits) -> None:
    """Teach the right neuron to fire at 3 steps of 4, the others never, the hidden ones sparsely.

    The last epoch is what counts: nothing is chosen by its result on the test split.
    """
    wanted_spikes = mse_count_loss(correct_rate=0.75, incorrect_rate=0.0)
    optimizer = torch.optim.Adam(network.parameters())
    batches = -(-len(data.images) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, LEARNING_RATE, total_steps=EPOCHS * batches
    )
    for epoch in range(1, EPOCHS + 1):
        total = 0.0
        for batch in torch.randperm(len(data.images)).split(BATCH):
            spikes = run(network, digits.encode(data.images[batch]))
            activity = spikes["lif1"].mean() + spikes["lif2"].mean()
            loss = wanted_spikes(spikes["lif3"], data.labels[batch]) + ACTIVITY_COST * activity
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            total += loss.item()
        if epoch % 10 == 0:
            print(f"  epoch {epoch:2} of {EPOCHS}: loss {total / batches:.3f}")


@torch.no_grad()
def snap_to_grid(network: nn.Sequential) -> None:
    """Round the weights to multiples of 1/256, so that float32 sums are exact in any order.

    Two programs may add up the inputs of a neuron in different orders. Where every sum is exact
    they cannot disagree by a rounding error, and so not by a spike.
    """
    for parameter in network.parameters():
        parameter.copy_((parameter * GRID).round() / GRID)


def to_array(tensor: Tensor) -> NDArray[np.float32]:
    """A parameter as a NumPy array of its own."""
    return tensor.detach().numpy().copy()


def leaky_to_lif(layer: snn.Leaky) -> ir.LIF:
    """A Leaky as a LIF: tau = 1 / (1 - beta), and r = tau so that the input enters unscaled.

    The last three arguments are snnTorch's ways: the reset subtracts the threshold, comes one step
    late, and a membrane must pass the threshold to fire, not just reach it.
    """
    tau = 1 / (1 - layer.beta.item())
    return ir.LIF(
        tau=np.array([tau]),
        r=np.array([tau]),
        v_leak=np.array([0.0]),
        v_threshold=np.array([layer.threshold.item()]),
        reset="subtract",
        reset_delay=True,
        fires_at="gt",
    )


TO_NODE: dict[type[nn.Module], Callable[[Any], ir.Node]] = {
    nn.Conv2d: lambda conv: ir.Conv2d(
        weight=to_array(conv.weight),
        bias=to_array(conv.bias),
        stride=conv.stride,
        padding=conv.padding,
    ),
    nn.Linear: lambda fc: ir.Affine(weight=to_array(fc.weight), bias=to_array(fc.bias)),
    nn.MaxPool2d: lambda pool: ir.MaxPool2d(kernel_size=pool.kernel_size),
    nn.Flatten: lambda _: ir.Flatten(),
    snn.Leaky: leaky_to_lif,
}


def to_graph(network: nn.Sequential, test_accuracy: float) -> ir.Graph:
    """The network as a chain of nodes, with what one must know to use it in the metadata."""
    nodes: dict[str, ir.Node] = {"input": ir.Input(shape=(1, 8, 8))}
    nodes |= {name: TO_NODE[type(layer)](layer) for name, layer in network.named_children()}
    nodes["output"] = ir.Output(shape=(len(digits.CLASSES),))
    return ir.Graph(
        nodes=nodes,
        edges=list(pairwise(nodes)),
        metadata={
            "task": "handwritten digits, 8x8 pixels (scikit-learn's load_digits)",
            "encoding": "constant current: the image, scaled to 0..1, at every step",
            "decision": "the output neuron with the most spikes; ties go to the lowest",
            "steps": digits.STEPS,
            "classes": digits.CLASSES,
            "accuracy": test_accuracy,
            "split": "25 % for testing, stratified, random_state=0",
            "weights": f"multiples of 1/{GRID}",
            "trained_with": f"snntorch {snn.__version__}",
        },
    )


def compare(network: nn.Sequential, test: digits.Digits) -> None:
    """Read the file back, run it with t1c, and count the spikes that differ from snnTorch's."""
    xs = digits.encode(test.images)
    executor = ir_to_torch(digits.MODEL)
    with torch.no_grad():
        expected = run(network, xs)
        found, _ = executor.run(xs)
        layers = executor.trace(xs)
    print("\nThe same test images through snnTorch and through the file:")
    for name, spikes in expected.items():
        differ = int((layers[name] != spikes).sum())
        print(
            f"  {name}: {int(spikes.sum()):9,} spikes at {spikes.numel():9,} places, "
            f"rate {spikes.mean():6.1%}, differing: {differ}"
        )
    for who, spikes in (("snnTorch", expected["lif3"]), ("t1c", found)):
        print(f"  {who:8} test accuracy {digits.accuracy(spikes, test.labels):.2%}")


def main() -> None:
    """Train, write the network and the test split, read back, compare."""
    torch.manual_seed(SEED)
    torch.use_deterministic_algorithms(True)
    training, test = digits.load_split()
    network = build()

    print(f"Training on {len(training.images)} digits:")
    start = time.perf_counter()
    train(network, training)
    snap_to_grid(network)
    print(f"  done in {time.perf_counter() - start:.0f} s")

    with torch.no_grad():
        outputs = run(network, digits.encode(test.images))["lif3"]
    ir.write(digits.MODEL, to_graph(network, digits.accuracy(outputs, test.labels)))
    np.savez_compressed(
        digits.TEST_DATA, x=test.images.numpy(), y=test.labels.numpy(), steps=digits.STEPS
    )
    for path in (digits.MODEL, digits.TEST_DATA):
        print(f"  wrote {path.name} ({path.stat().st_size / 1000:.0f} kB)")
    compare(network, test)


if __name__ == "__main__":
    main()
