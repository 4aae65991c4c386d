"""Makes the files beside it: small networks exported to NIR by their own frameworks, and run there.

    python make.py snntorch norse sinabs spikingjelly rockpool spyx

Each name needs that framework (and nir 1.0.8) installed; spyx, which needs jax, may have an
environment of its own. Made with snntorch 1.0.0, norse 1.1.0, sinabs 3.1.3, spikingjelly 2.0.0,
rockpool 3.1.0, spyx 1.0.0, nirtorch 2.6 and torch 2.13 (CPU). Every ``X.npz`` holds the input ``x``
and what the framework gave for it, ``y``, both (T, B, ...).
"""

import importlib
import sys
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
T, B = 60, 3


def save(name, graph, x, y):
    """The exported graph as its framework left it, tensors and single numbers included."""
    nir = importlib.import_module("nir")
    for node in graph.nodes.values():
        for field, value in vars(node).items():
            if hasattr(value, "detach"):
                setattr(node, field, value.detach())
    single = any(np.ndim(v) == 0 for n in graph.nodes.values() for v in vars(n).values())
    # nir 1.0.8 cannot compress single numbers, and refuses the graph unless told not to.
    nir.write(HERE / f"{name}.nir", graph, **({"compression": None} if single else {}))
    np.savez_compressed(HERE / f"{name}.npz", x=np.asarray(x), y=np.asarray(y))


def spikes(*shape, seed=0):
    torch = importlib.import_module("torch")
    rng = np.random.default_rng(seed)
    return torch.from_numpy((rng.random(shape) < 0.4).astype(np.float32))


def linear(features, out, gain, seed=0, make=None):
    torch = importlib.import_module("torch")
    torch.manual_seed(seed)
    layer = (make or torch.nn.Linear)(features, out)
    layer.weight.data *= gain
    return layer


def stepwise(call, x):
    torch = importlib.import_module("torch")
    return torch.stack([call(x[t]) for t in range(len(x))]).detach()


def snntorch():
    torch, snn = importlib.import_module("torch"), importlib.import_module("snntorch")
    export = importlib.import_module("snntorch.export_nir").export_to_nir

    def make(name, layers, neurons, x):
        net = torch.nn.Sequential(*layers)
        graph = export(net, torch.rand(1, *x.shape[2:]), ignore_dims=[0])
        for neuron in neurons:
            neuron.reset_mem()
        save(f"snntorch_{name}", graph, x, stepwise(net, x))

    x = spikes(T, B, 8)
    for name in ("subtract", "zero", "none"):
        hidden, last = (
            snn.Leaky(
                beta=beta,
                threshold=torch.full(beta.shape, v),
                init_hidden=True,
                reset_mechanism=name,
            )
            for beta, v in ((torch.full((6,), 0.9), 0.5), (torch.linspace(0.5, 0.95, 4), 0.3))
        )
        layers = (linear(8, 6, 1.0), hidden, linear(6, 4, 1.0, seed=1), last)
        make(f"leaky_{name}", layers, (hidden, last), x)
    full = {
        k: torch.full((6,), v) for k, v in {"alpha": 0.8, "beta": 0.9, "threshold": 0.7}.items()
    }
    synaptic = snn.Synaptic(**full, init_hidden=True)
    make("synaptic", (linear(8, 6, 1.0), synaptic), (synaptic,), x)
    recurrent = snn.RLeaky(beta=0.9, linear_features=6, init_hidden=True, threshold=0.7)
    make("rleaky", (linear(8, 6, 1.0), recurrent), (recurrent,), x)
    shape = (2, 6, 6)
    leaky = snn.Leaky(
        beta=torch.full(shape, 0.9), threshold=torch.full(shape, 0.5), init_hidden=True
    )
    layers = (torch.nn.Conv2d(1, 2, 3), leaky, torch.nn.AvgPool2d(2), torch.nn.Flatten())
    make("conv", (*layers, linear(18, 4, 1.0)), (leaky,), spikes(T, B, 1, 8, 8))


def norse():
    torch, nt = importlib.import_module("torch"), importlib.import_module("norse.torch")
    export = importlib.import_module("norse.torch.utils.export_nir").to_nir
    box = importlib.import_module("norse.torch.functional.lif_box").LIFBoxParameters
    leaking = box(v_leak=torch.tensor(0.3), v_th=torch.tensor(0.6))
    cells = {
        "lifbox": nt.LIFBoxCell(),
        "lifbox_leak": nt.LIFBoxCell(leaking),
        "lif": nt.LIFCell(),
        "libox": nt.LIBoxCell(),
        "iaf": nt.IAFCell(nt.IAFParameters(v_th=torch.tensor(1.5))),
    }
    x = spikes(T, B, 8)
    for name, cell in cells.items():
        net = nt.SequentialState(linear(8, 6, 6.0), cell)
        graph, state, out = export(net, torch.rand(1, 8)), None, []
        for t in range(T):
            y, state = net(x[t], state)
            out.append(y)
        save(f"norse_{name}", graph, x, torch.stack(out).detach())


def spikingjelly():
    torch = importlib.import_module("torch")
    base = importlib.import_module("spikingjelly.activation_based")
    neuron, layer, functional = (
        importlib.import_module(f"{base.__name__}.{n}") for n in ("neuron", "layer", "functional")
    )
    export = importlib.import_module(f"{base.__name__}.nir_exchange").export_to_nir

    def make(name, first, second, x):
        net = torch.nn.Sequential(first, second)
        functional.set_step_mode(net, "s")
        graph = export(net, torch.rand(1, *x.shape[2:]))
        functional.reset_net(net)
        save(f"spikingjelly_{name}", graph, x, stepwise(net, x))

    cells = {
        "lif": neuron.LIFNode(tau=3.0, v_threshold=0.4),
        "lif_nodecay": neuron.LIFNode(tau=3.0, decay_input=False, v_threshold=0.9),
        "lif_vreset": neuron.LIFNode(tau=3.0, v_threshold=0.4, v_reset=-0.2),
        "if": neuron.IFNode(v_threshold=1.2),
        "if_vreset": neuron.IFNode(v_threshold=1.2, v_reset=0.2),
        "cuba": neuron.CUBALIFNode(c_decay=0.5, v_decay=0.75, v_threshold=1.0),
    }
    for name, cell in cells.items():
        make(name, linear(8, 6, 4.0, make=layer.Linear), cell, spikes(T, B, 8))
    # Inputs in quarters meet the threshold exactly, and >= fires.
    plain = layer.Linear(4, 4, bias=False)
    plain.weight.data = torch.eye(4)
    quarters = torch.from_numpy(np.random.default_rng(0).integers(0, 4, (T, B, 4)) / 4).float()
    make("tie", plain, neuron.IFNode(v_threshold=1.0), quarters)


def sinabs():
    torch, sl = importlib.import_module("torch"), importlib.import_module("sinabs.layers")
    export = importlib.import_module("sinabs.nir").to_nir
    single = importlib.import_module("sinabs.activation").SingleSpike
    threshold, one = torch.tensor(0.2), torch.tensor(1.0)
    cells = {
        "lif": sl.LIF(tau_mem=torch.tensor(10.0), spike_threshold=threshold, spike_fn=single),
        "iaf": sl.IAF(spike_threshold=one, spike_fn=single),
        "expleak": sl.ExpLeak(tau_mem=torch.tensor(7.0)),
    }
    x = spikes(B, T, 8)
    for name, cell in cells.items():
        net = torch.nn.Sequential(linear(8, 6, 2.0), cell)
        y = net(x).detach()
        save(f"sinabs_{name}", export(net, x), x.transpose(0, 1), y.transpose(0, 1))


def rockpool():
    torch, rt = (
        importlib.import_module("torch"),
        importlib.import_module("rockpool.nn.modules.torch"),
    )
    export = importlib.import_module("rockpool.nn.modules.torch.nir").to_nir
    chain = importlib.import_module("rockpool.nn.combinators").Sequential
    tau_mem, tau_syn = torch.linspace(0.01, 0.05, 6), torch.linspace(0.005, 0.02, 6).reshape(6, 1)
    cells = {
        "lif": lambda: rt.LIFTorch((6,), tau_mem=0.02, tau_syn=0.01, threshold=3.0, dt=1e-3),
        "lif_taus": lambda: rt.LIFTorch(
            (6,), tau_mem=tau_mem, tau_syn=tau_syn, threshold=3.0, dt=1e-3
        ),
        "lifneuron": lambda: rt.LIFNeuronTorch((6,), tau_mem=0.02, threshold=3.0, dt=5e-4),
        "expsyn": lambda: rt.ExpSynTorch((6,), tau=0.02, dt=1e-3),
    }
    x = spikes(B, T, 8)
    for name, cell in cells.items():
        torch.manual_seed(3)
        weights = rt.LinearTorch((8, 6), has_bias=False)
        # So little that no neuron fires twice in a step.
        weights.weight.data *= 0.25 if name.startswith("lif_") or name == "lif" else 1.0
        net = chain(weights, cell())
        y, _, _ = net(x)
        graph = export(net, torch.rand(1, T, 8))
        save(f"rockpool_{name}", graph, x.transpose(0, 1), y.detach().transpose(0, 1))


def spyx():
    jnp, nnx = importlib.import_module("jax.numpy"), importlib.import_module("flax.nnx")
    nn, export = importlib.import_module("spyx.nn"), importlib.import_module("spyx.nir").to_nir

    def dense(features, out, seed, gain):
        layer = nnx.Linear(features, out, rngs=nnx.Rngs(seed))
        layer.kernel[...] = layer.kernel[...] * gain
        return layer

    def cell(kind, n, **decays):
        made = kind((n,), rngs=nnx.Rngs(5))
        for name, (low, high) in decays.items():
            getattr(made, name)[...] = jnp.linspace(low, high, n)
        return made

    first = dense(8, 6, 1, 2.0)
    nets = {
        "lif": (first, cell(nn.LIF, 6, beta=(0.5, 0.95))),
        "lif2": (first, cell(nn.LIF, 6, beta=(0.5, 0.95)), dense(6, 4, 2, 3.0),
                 cell(nn.LIF, 4, beta=(0.6, 0.9))),
        "if": (first, nn.IF((6,))),
        "cuba": (dense(8, 6, 1, 1.0), cell(nn.CuBaLIF, 6, alpha=(0.3, 0.8), beta=(0.5, 0.9))),
        "psu": (first, cell(nn.PSU_LIF, 6, beta=(0.5, 0.9))),
    }  # fmt: skip
    x = (np.random.default_rng(0).random((T, B, 8)) < 0.4).astype(np.float32)
    for name, layers in nets.items():
        net = nn.Sequential(*layers)
        y, _ = nn.run(net, jnp.asarray(x))
        shapes = {"input": np.array([8])}, {"output": np.array([y.shape[-1]])}
        save(f"spyx_{name}", export(net, *shapes), x, y)


if __name__ == "__main__":
    for framework in sys.argv[1:]:
        globals()[framework]()
