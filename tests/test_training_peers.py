"""A training step of a graph is the framework's own: spikes, gradients, statistics, masks."""

import copy
from typing import Any

import pytest
import snntorch as snn
import torch
from torch import nn

from t1c.bridge.engine.kernels.surrogate import Surrogate
from t1c.ir.errors import UnsupportedError

from .export_helpers import bridge, ir, spikes
from .peers import peer

layer, neuron, functional, slopes = peer(
    *(f"spikingjelly.activation_based.{n}" for n in ["layer", "neuron", "functional", "surrogate"])
)
T, B = 6, 5
"""Steps and samples of the training: others than the samples that models are exported from."""


pytestmark = pytest.mark.usefixtures("one_thread")


def jelly(mode: str, *parts: nn.Module) -> nn.Sequential:
    model = nn.Sequential(*parts)
    functional.set_step_mode(model, mode)
    return model


def options(**more: Any) -> dict[str, Any]:
    return {"surrogate_function": slopes.Sigmoid(alpha=4.0), **more}


def convolutional(mode: str) -> nn.Sequential:
    return jelly(
        mode,
        layer.Conv2d(2, 6, 3, padding=1, bias=False),
        layer.BatchNorm2d(6, momentum=0.3),
        neuron.LIFNode(tau=2.0, **options()),
        layer.MaxPool2d(2),
        layer.Conv2d(6, 4, 3, padding=1),
        layer.BatchNorm2d(4),
        neuron.IFNode(v_threshold=0.75, v_reset=None, **options()),
        layer.Flatten(),
        layer.Dropout(0.25),
        layer.Linear(36, 7),
        layer.BatchNorm1d(7),
        neuron.LIFNode(tau=2.0, v_threshold=0.5, **options()),
    )


def unusual(mode: str) -> nn.Sequential:
    """A norm that starts from the threshold, one without parameters, and whole channels dropped."""
    return jelly(
        mode,
        layer.Conv2d(2, 6, 3, padding=1),
        layer.ThresholdDependentBatchNorm2d(1.0, 0.5, 6, momentum=0.2),
        neuron.LIFNode(tau=2.0, v_threshold=0.5, **options()),
        layer.Dropout2d(0.25),
        layer.Conv2d(6, 4, 3),
        layer.BatchNorm2d(4, affine=False),
        neuron.IFNode(**options()),
        layer.Flatten(),
        layer.Linear(64, 7),
        neuron.LIFNode(tau=2.0, v_threshold=0.5, **options()),
    )


def stepped(model: nn.Module, xs: torch.Tensor) -> torch.Tensor:
    return torch.stack([model(x) for x in xs])


def at_once(model: Any, xs: torch.Tensor) -> Any:
    return model(xs)


def statistics_of(model: nn.Module) -> dict[str, torch.Tensor]:
    return {name: value for name, value in model.named_buffers() if "running" in name}


def learn(run: Any, parameters: Any, xs: torch.Tensor, rounds: int = 2) -> list[torch.Tensor]:
    """What a few training steps give: the last spikes, and the gradients of the last."""
    optimizer = torch.optim.SGD(parameters, lr=0.5)
    generator = torch.Generator().manual_seed(3)
    for seed in range(rounds):
        torch.manual_seed(seed)
        out = run(xs).double()
        wanted = torch.rand(out.shape[1:], generator=generator, dtype=out.dtype)
        optimizer.zero_grad()
        (out.mean(0) - wanted).square().sum().backward()
        optimizer.step()
    return [out.detach(), *(p.grad.clone() for p in optimizer.param_groups[0]["params"])]


def compare(
    model: nn.Module,
    sample: torch.Tensor,
    xs: torch.Tensor,
    run: Any,
    expected: dict[str, str],
    gap: float = 1e-9,
    **imported: Any,
) -> Any:
    """Train a model and its graph alike, in float64, and compare all that moved; the executor."""
    graph = bridge.to_ir(model, sample)
    model.double()
    xs = xs.double()
    said = {
        name: node.values().get("statistics", node.values().get("mask"))
        for name, node in graph.nodes.items()
    }
    assert {name: span for name, span in said.items() if span} == expected
    executor = bridge.ir_to_torch(graph, dtype=torch.float64, **imported).train()
    model.train()
    names = [name for name, _ in model.named_parameters()]
    assert sum(p.requires_grad for p in executor.parameters()) == len(names)
    theirs = learn(lambda x: run(model, x), list(model.parameters()), xs)
    own = dict(executor.named_parameters())
    paths = [name.rpartition(".") for name in names]
    # A norm that is followed through its own code is a node inside of its module's name.
    node_of = {path: path if path in graph.nodes else f"{path}.batch_norm" for path, *_ in paths}
    places = [own[f"{executor._children[node_of[path]]}.{field}"] for path, _, field in paths]
    ours = learn(lambda x: executor.run(x)[0], places, xs)
    if set(theirs[0].unique().tolist()) == {0.0, 1.0}:
        assert int((ours[0] != theirs[0]).sum()) == 0
        assert 0.05 < float(theirs[0].mean()) < 0.95, "next to nothing happens"
    else:
        torch.testing.assert_close(ours[0], theirs[0], rtol=gap, atol=gap)
    for name, a, b in zip(names, ours[1:], theirs[1:], strict=True):
        assert b.count_nonzero(), name
        torch.testing.assert_close(a, b, rtol=gap, atol=gap, msg=name)
    found = {
        n: executor.node(node_of.get(n.rpartition(".")[0], n.rpartition(".")[0]))
        for n in statistics_of(model)
    }
    assert found
    for name, wanted in statistics_of(model).items():
        kept = getattr(found[name], name.rpartition(".")[2])
        torch.testing.assert_close(kept, wanted, rtol=gap, atol=gap, msg=name)
    for name, module in found.items():
        path = name.rpartition(".")[0]
        assert module.num_batches_tracked == model.get_submodule(path).num_batches_tracked
    # What was learnt is what is written, in the model's own float32.
    again = bridge.ir_to_torch(bridge.to_ir(executor, sample), dtype=torch.float64).state_dict()
    for name, value in executor.state_dict().items():
        if not name.endswith("num_batches_tracked"):
            torch.testing.assert_close(again[name], value, rtol=1e-6, atol=1e-7, msg=name)
    return executor


JELLY: dict[str, Any] = {"surrogate": Surrogate("sigmoid", 4.0), "detach_reset": False}


WHOLE: dict[str, tuple[Any, dict[str, str]]] = {
    "usual": (
        convolutional,
        {"1": "sequence", "5": "sequence", "8": "sequence", "10": "sequence"},
    ),
    "unusual": (unusual, {"1.batch_norm": "sequence", "3": "sequence", "5": "sequence"}),
}


@pytest.mark.parametrize("name", WHOLE)
def test_spikingjelly_over_whole_sequences(name):
    torch.manual_seed(1)
    make, expected = WHOLE[name]
    model = make("m")

    def run(model, xs):
        functional.reset_net(model)
        return model(xs)

    xs = spikes(T, B, 2, 6, 6)
    compare(model, spikes(4, 3, 2, 6, 6), xs, run, expected, **JELLY)


def test_spikingjelly_step_by_step():
    torch.manual_seed(1)
    model = convolutional("s")

    def run(model, xs):
        functional.reset_net(model)
        return stepped(model, xs)

    expected = {"1": "step", "5": "step", "8": "sequence", "10": "step"}
    xs = spikes(T, B, 2, 6, 6)
    executor = compare(model, spikes(3, 2, 6, 6), xs, run, expected, **JELLY)
    # In chunks, and step by step with the state handed on, it is the same training.
    copies = [copy.deepcopy(executor).train() for _ in range(3)]
    given = xs.double()

    def handed_on(xs):
        state, outs = {}, []
        for x in xs:
            out, state = copies[2](x, state)
            outs.append(out)
        return torch.stack(outs)

    copies[2].return_state = True
    runs = [lambda x: copies[0].run(x)[0], lambda x: copies[1].run(x, chunk=2)[0], handed_on]
    found = [
        learn(run, list(c.parameters()), given, rounds=1)
        for run, c in zip(runs, copies, strict=True)
    ]
    for other, c in zip(found[1:], copies[1:], strict=True):
        assert torch.equal(other[0], found[0][0])
        for a, b in zip(other[1:], found[0][1:], strict=True):
            torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-12)
        for name, value in statistics_of(c).items():
            torch.testing.assert_close(value, statistics_of(copies[0])[name], rtol=1e-12, atol=0)


class Image(nn.Module):
    """A stem that works an image once, before the loop over time."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(2, 6, 3, padding=1), nn.BatchNorm2d(6), nn.Dropout(0.25)
        )
        self.lif = neuron.LIFNode(tau=2.0, v_threshold=0.5, **options())
        self.fc, self.norm = nn.Linear(6 * 36, 7), nn.BatchNorm1d(7)
        self.out = neuron.IFNode(v_threshold=0.5, **options())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        functional.reset_net(self)
        x = self.stem(x)
        steps = [self.out(self.norm(self.fc(self.lif(x).flatten(1)))) for _ in range(T)]
        return torch.stack(steps)


def test_a_stem_before_the_loop():
    torch.manual_seed(2)
    expected = {"stem.1": "once", "stem.2": "sequence", "norm": "step"}
    xs = 2 * torch.rand(B, 2, 6, 6)
    executor = compare(Image(), torch.rand(3, 2, 6, 6), xs, at_once, expected, **JELLY)
    with pytest.raises(UnsupportedError, match=r"'stem\.1'.*\n?.*may change from step to step"):
        executor.train().run(torch.rand(T, B, 2, 6, 6, dtype=torch.float64))


FLOAT32 = 1e-5
"""What is within the rounding of snnTorch's gradients, which pass spikes of float32."""


class Loop(nn.Module):
    """snnTorch's usual network: every layer at every step."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1, self.norm1, self.lif1 = nn.Linear(12, 16), nn.BatchNorm1d(16), snn.Leaky(0.75)
        self.fc2, self.norm2, self.lif2 = nn.Linear(16, 7), nn.BatchNorm1d(7), snn.Leaky(0.5)

    def sent(self, spikes: torch.Tensor) -> torch.Tensor:
        """Spikes as a model in double precision needs them: snnTorch's are always float32."""
        return spikes if self.fc2.weight.dtype == spikes.dtype else spikes.to(self.fc2.weight)

    def forward(self, xs: torch.Tensor) -> torch.Tensor:
        mem1, mem2 = self.lif1.init_leaky(), self.lif2.init_leaky()
        outs = []
        for x in xs:
            spk1, mem1 = self.lif1(self.norm1(self.fc1(x)), mem1)
            spk2, mem2 = self.lif2(self.norm2(self.fc2(self.sent(spk1))), mem2)
            outs.append(spk2)
        return torch.stack(outs)


def test_snntorch_step_by_step():
    torch.manual_seed(3)
    expected = {"norm1": "step", "norm2": "step"}
    compare(Loop(), spikes(4, 3, 12), spikes(T, B, 12), at_once, expected, FLOAT32)


class Repeated(Loop):
    """The same image again in every turn of the loop."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward([x] * T)  # type: ignore[arg-type]


def test_snntorch_on_a_held_image():
    torch.manual_seed(4)
    expected = {"norm1": "step", "norm2": "step"}
    compare(Repeated(), torch.rand(3, 12), 2 * torch.rand(B, 12), at_once, expected, FLOAT32)


class Answered(Loop):
    """A norm behind the mean over time, which is there once, at the end."""

    def forward(self, xs: torch.Tensor) -> Any:
        mem1, spikes = self.lif1.init_leaky(), []
        for x in xs:
            spk1, mem1 = self.lif1(self.norm1(self.fc1(x)), mem1)
            spikes.append(self.sent(spk1))
        return self.norm2(self.fc2(torch.stack(spikes).mean(0)))


def test_snntorch_with_a_norm_behind_the_mean():
    torch.manual_seed(5)
    expected = {"norm1": "step", "norm2": "last"}
    compare(Answered(), spikes(4, 3, 12), spikes(T, B, 12), at_once, expected, FLOAT32)


class Before(Loop):
    """The first layer and its norm on all steps, before the loop."""

    def forward(self, xs: torch.Tensor) -> torch.Tensor:
        mem1, mem2 = self.lif1.init_leaky(), self.lif2.init_leaky()
        outs = []
        first = self.norm1(self.fc1(xs.flatten(0, 1))).unflatten(0, xs.shape[:2])
        for x in first:
            spk1, mem1 = self.lif1(x, mem1)
            spk2, mem2 = self.lif2(self.norm2(self.fc2(self.sent(spk1))), mem2)
            outs.append(spk2)
        return torch.stack(outs)


def test_snntorch_with_a_layer_before_the_loop():
    torch.manual_seed(5)
    expected = {"norm1": "sequence", "norm2": "step"}
    compare(Before(), spikes(4, 3, 12), spikes(T, B, 12), at_once, expected, FLOAT32)


def test_what_is_taken_of_a_step_is_another_training():
    """The two are not the same: that which is recorded matters."""
    torch.manual_seed(6)
    graph = bridge.to_ir(convolutional("m"), spikes(4, 3, 2, 6, 6))
    xs, outs = 2 * spikes(T, B, 2, 6, 6, density=0.3), []
    for batchnorm in ("recorded", "sequence", "step", "frozen"):
        torch.manual_seed(0)
        outs.append(bridge.ir_to_torch(graph, batchnorm=batchnorm, **JELLY).train().run(xs)[0])
    assert torch.equal(outs[0], outs[1])
    assert (outs[2] != outs[0]).sum() > 10
    assert (outs[3] != outs[0]).sum() > 10


# What the export tells from the calls -----------------------------------------------------------


class Functional(Loop):
    """A norm as a function, of all steps and samples in one axis."""

    def forward(self, xs: torch.Tensor) -> torch.Tensor:
        n, mem, outs = self.norm1, self.lif1.init_leaky(), []
        given = (n.running_mean, n.running_var, n.weight, n.bias)
        merged = self.fc1(xs.flatten(0, 1))
        merged = nn.functional.batch_norm(merged, *given, False, 0.3, 1e-4)
        for x in merged.unflatten(0, xs.shape[:2]):
            spikes, mem = self.lif1(x, mem)
            outs.append(spikes)
        return torch.stack(outs)


def fields_of(model: nn.Module, sample: torch.Tensor, **options: Any) -> dict[str, dict[str, Any]]:
    wanted = {"statistics", "momentum", "mask", "drops"}
    nodes = bridge.to_ir(model, sample, **options).nodes.items()
    found = {name: {k: v for k, v in n.values().items() if k in wanted} for name, n in nodes}
    return {name: values for name, values in found.items() if values}


def test_a_norm_as_a_function():
    (said,) = fields_of(Functional(), spikes(4, 3, 12)).values()
    assert said == {"statistics": "sequence", "momentum": 0.3}


def test_a_container_for_whole_sequences():
    """torch's own layers on T * B rows: statistics of all, and a mask for each row."""
    inner = [nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.Dropout2d()]
    model = nn.Sequential(layer.SeqToANNContainer(*inner), neuron.LIFNode(step_mode="m"))
    assert fields_of(model, spikes(4, 3, 2, 6, 6)) == {
        "0.1": {"statistics": "sequence", "momentum": 0.1},
        "0.2": {"mask": "step", "drops": "channels"},
    }


def test_a_network_without_time():
    model = nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout())
    said = fields_of(model, torch.rand(3, 6))
    assert (said["1"]["statistics"], said["3"]["mask"]) == ("step", "step")


def test_what_was_imported_is_told_anew_where_it_is_called_otherwise():
    graph = bridge.to_ir(jelly("m", layer.BatchNorm1d(7), layer.Dropout()), spikes(4, 3, 7))
    assert (graph.nodes["0"].statistics, graph.nodes["1"].mask) == ("sequence", "sequence")
    norm, drop = (bridge.from_ir(graph)[name] for name in ("0", "1"))
    model = nn.Sequential(norm, snn.Leaky(0.5, init_hidden=True), drop, nn.Linear(7, 3))
    said = fields_of(model, spikes(3, 7))
    assert (said["0"]["statistics"], said["2"]["mask"]) == ("step", "step")


def test_the_users_own_choice_wins():
    model = jelly("m", layer.BatchNorm1d(12), neuron.IFNode())
    ones, zeros = torch.ones(12).numpy(), torch.zeros(12).numpy()

    def chosen(module: nn.Module) -> Any:
        return ir.BatchNorm1d(12, ones, zeros, zeros, ones, statistics="step")

    said = fields_of(model, spikes(4, 3, 12), custom_map={layer.BatchNorm1d: chosen})
    assert said["0"]["statistics"] == "step"
