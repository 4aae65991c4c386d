"""The rows of `make bench`."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from importlib import import_module

from .by_jax import Remote
from .model import Model
from .networks import Network, Workload, conv_snn, conv_trained, mlp, recurrent, shd
from .row import FLOOR, FLOOR_LAST, FLOOR_TRAINED, OURS, Candidate, Row, Target


def _by(module: str, name: str) -> Callable[[], Callable[[Network], Model]]:
    """The class of one of this package's modules, imported when it is needed."""
    return lambda: getattr(import_module(f".{module}", __package__), name)


T1C = Candidate(OURS, _by("by_t1c", "T1C"), note="`executor.run(xs)`; `executor(x, state)`")
REPRODUCIBLE = Candidate(
    f"{OURS}, reproducible",
    _by("by_t1c", "Reproducible"),
    note="the same with `reproducible=True`: every sum in its written order",
)
CHECKPOINTED = Candidate(
    f"{OURS}, checkpoint",
    _by("by_t1c", "Checkpointed"),
    note="the same with `run(..., checkpoint=True)`",
)
IN_C = Candidate(
    f"{OURS}, C",
    _by("by_c", "InC"),
    note="`deploy.to_c`, `gcc -O3 -march=native`, in this process: a loop in C, or a call a step",
)
JAXPIKE = Candidate(
    "jaxpike",
    None,
    same=False,
    note="jaxpike 0.1.4, `unroll`, compiled by XLA for its input, in a process and an environment "
    "of its own; alpha is exp of a logarithm, and its reset passes a gradient; feedback is a Graph "
    "around the one LIF, so that what is around it is batched over time",
    remote=Remote,
)
JAXPIKE_CHECKPOINTED = Candidate(
    "jaxpike (checkpointed)",
    None,
    same=False,
    note="the same by `unroll_checkpointed`; as a peer in time, and not in memory",
    remote=partial(Remote, checkpointed=True),
)
TALON = Candidate(
    "talon-bridge", _by("by_talon", "Talon"), note="`executor(x, state)`, stepped by a loop"
)
TALON_CYCLIC = Candidate(
    "talon-bridge (cyclic)",
    _by("by_talon", "TalonCyclic"),
    same=False,
    note="`CyclicGraphExecutor` with timesteps=1, stepped by a loop; it forgets the feedback "
    "between calls, so its spikes are others",
)
SNNTORCH = Candidate(
    "snnTorch",
    _by("by_snntorch", "SnnTorch"),
    note="Leaky or RLeaky with reset_mechanism='zero' and reset_delay=False, a loop over time",
)
SNNTORCH_DEFAULT = Candidate(
    "snnTorch (its reset)",
    _by("by_snntorch", "SnnTorchDefault"),
    same=False,
    note="the same with the default reset, which subtracts one step late: other spikes, less work",
)
SPIKINGJELLY = Candidate(
    "SpikingJelly",
    _by("by_spikingjelly", "SpikingJelly"),
    note="step_mode='m', torch backend, LIFNode(decay_input=False, v_reset=0, detach_reset=True); "
    "a LinearRecurrentContainer for feedback",
)
SPIKINGJELLY_SINGLE = Candidate(
    "SpikingJelly (single)",
    _by("by_spikingjelly", "SpikingJellySingle"),
    note="the same with step_mode='s'",
)
NORSE = Candidate(
    "Norse",
    _by("by_norse", "Norse"),
    note="SequentialState with LIFBoxCell, stepped by a loop; thresholds divided by tau",
)
NORSE_RECURRENT = Candidate(
    "Norse (recurrent)",
    _by("by_norse", "NorseRecurrent"),
    note="LIFRecurrent whose synapse forgets within a step, a batched Linear, LIFBoxCell",
)
PLAIN = Candidate(
    "plain torch",
    _by("by_torch", "Plain"),
    note="each Linear or Conv2d batched over all steps, each LIF a loop of four operations",
)
PRODUCTS = Candidate(
    FLOOR,
    None,
    same=False,
    note="the matrix products, or the convolutions and pools, alone, fed with recorded spikes, "
    "at the chunk size that is fastest",
)
PRODUCTS_LAST = Candidate(
    FLOOR_LAST,
    None,
    same=False,
    note="the same in torch's other memory format; no target stands against it",
)

LEARNING = Candidate(
    FLOOR_TRAINED,
    None,
    same=False,
    note="the convolutions and products alone, dense, forwards and backwards, fed "
    "with recorded spikes and random gradients, channels last, all steps in one batch",
)

PEERS = (TALON, SNNTORCH, SNNTORCH_DEFAULT, SPIKINGJELLY, NORSE, PLAIN)
TRAINED = (*PEERS, JAXPIKE)
RECURRENT_PEERS = (
    *(TALON_CYCLIC, SNNTORCH, SNNTORCH_DEFAULT, SPIKINGJELLY, NORSE_RECURRENT, PLAIN),
)
BEST_TRAINED = tuple(peer.name for peer in TRAINED)
BOTH_SNNTORCH = (SNNTORCH.name, SNNTORCH_DEFAULT.name)


def _mlp(B: int, T: int) -> Callable[[], Workload]:
    return partial(mlp, (784, 512, 512, 10), (0.757, 0.827, 0.967), B, T)


_SMALL = partial(mlp, (128, 256, 256, 10), (0.744, 0.854, 0.936), 32, 100)

_SHD, _SHD_LOOPED = partial(shd, 64, 256, False), partial(shd, 64, 256, True)
RECURRENT_TRAINED = (SNNTORCH, SNNTORCH_DEFAULT, SPIKINGJELLY, NORSE_RECURRENT, PLAIN, JAXPIKE)


def _trained(peers: tuple[str, ...]) -> tuple[Target, ...]:
    """In how much time a network is to be trained: of the best peer's, and of our own."""
    own = Target((OURS,), 1.4, most=True, title="its own without", ours=CHECKPOINTED.name)
    peers = (*peers, JAXPIKE_CHECKPOINTED.name)
    return Target(peers, 0.4, most=True, title="best peer"), own


def _kept(peers: tuple[str, ...]) -> tuple[Target, ...]:
    """In how much memory."""
    return (
        Target(peers, 0.5, most=True, title="best peer"),
        Target(peers, 0.25, most=True, title="best peer", ours=CHECKPOINTED.name),
    )


ROWS = (
    Row(
        "mlp",
        "MLP 784-512-512-10, B=64, T=100",
        "run",
        _mlp(64, 100),
        (T1C, REPRODUCIBLE, *PEERS, JAXPIKE, PRODUCTS),
        (Target((TALON.name,), 5), Target((FLOOR,), 0.6, most=True)),
    ),
    Row(
        "mlp-long",
        "MLP 784-512-512-10, B=1, T=1000",
        "run",
        _mlp(1, 1000),
        (T1C, REPRODUCIBLE, IN_C, *PEERS, JAXPIKE, PRODUCTS),
        (Target((TALON.name,), 50),),
    ),
    Row(
        "conv",
        "conv SNN 1x28x28, B=32, T=25",
        "run",
        partial(conv_snn, 32, 25),
        (T1C, REPRODUCIBLE, *PEERS, PRODUCTS, PRODUCTS_LAST),
        (Target((TALON.name,), 3), Target((FLOOR,), 0.6, most=True)),
    ),
    Row(
        "recurrent",
        "recurrent 12-38-7, 38x38 feedback, B=64, T=256",
        "run",
        partial(recurrent, 64, 256),
        (T1C, *RECURRENT_PEERS),
        (Target(tuple(p.name for p in RECURRENT_PEERS), 10, title="best peer"),),
    ),
    Row(
        "step",
        "one step of the MLP, B=1",
        "step",
        _mlp(1, 500),
        (
            *(T1C, REPRODUCIBLE, IN_C, TALON, SNNTORCH, SNNTORCH_DEFAULT),
            *(SPIKINGJELLY_SINGLE, NORSE, PLAIN),
        ),
        (Target((TALON.name,), 5), Target(BOTH_SNNTORCH, 5, title="snnTorch")),
    ),
    Row(
        "step-graded",
        "one step of the MLP with gradients on, B=1",
        "graded",
        _mlp(1, 100),
        (T1C, TALON, SNNTORCH, SNNTORCH_DEFAULT, SPIKINGJELLY_SINGLE, NORSE, PLAIN),
        (Target((TALON.name,), 2),),
    ),
    Row(
        "step-learnt",
        "one step of the MLP and its way back, B=1, T=100",
        "learnt",
        _mlp(1, 100),
        (T1C, TALON, SNNTORCH, SNNTORCH_DEFAULT, SPIKINGJELLY_SINGLE, NORSE, PLAIN),
        (Target((TALON.name,), 2),),
    ),
    Row(
        "train",
        "training step, MLP 784-512-512-10, B=64, T=100",
        "train",
        _mlp(64, 100),
        (T1C, CHECKPOINTED, *TRAINED, JAXPIKE_CHECKPOINTED),
        (
            Target(BOTH_SNNTORCH, 2.3, title="snnTorch"),
            Target((SPIKINGJELLY.name,), 1.3),
            *_trained(BEST_TRAINED),
        ),
    ),
    Row(
        "train-small",
        "training step, MLP 128-256-256-10, B=32, T=100",
        "train",
        _SMALL,
        (T1C, CHECKPOINTED, *TRAINED, JAXPIKE_CHECKPOINTED),
        _trained(BEST_TRAINED),
    ),
    Row(
        "train-shd",
        "training step, 700-128-20, B=64, T=256, 2 % of inputs",
        "train",
        _SHD,
        (T1C, CHECKPOINTED, *TRAINED, JAXPIKE_CHECKPOINTED),
        _trained(BEST_TRAINED),
    ),
    Row(
        "train-shd-loop",
        "training step, 700-128-20 with 128x128 feedback, B=64, T=256, 2 % of inputs",
        "train",
        _SHD_LOOPED,
        (T1C, CHECKPOINTED, *RECURRENT_TRAINED, JAXPIKE_CHECKPOINTED),
        _trained(tuple(p.name for p in RECURRENT_TRAINED)),
    ),
    Row(
        "memory",
        "peak memory of a training step, MLP 784-512-512-10, B=64, T=100",
        "memory",
        _mlp(64, 100),
        (T1C, CHECKPOINTED, *TRAINED, JAXPIKE_CHECKPOINTED),
        _kept(BEST_TRAINED),
    ),
    Row(
        "memory-shd",
        "peak memory of a training step, 700-128-20, B=64, T=256, 2 % of inputs",
        "memory",
        _SHD,
        (T1C, CHECKPOINTED, *TRAINED, JAXPIKE_CHECKPOINTED),
        _kept(BEST_TRAINED),
    ),
    Row(
        "memory-shd-loop",
        "peak memory of a training step, 700-128-20 with 128x128 feedback, B=64, T=256",
        "memory",
        _SHD_LOOPED,
        (T1C, CHECKPOINTED, *RECURRENT_TRAINED, JAXPIKE_CHECKPOINTED),
        _kept(tuple(p.name for p in RECURRENT_TRAINED)),
    ),
    *(
        Row(
            f"{key}-conv{'-norm' * norms}",
            f"{title}, conv SNN 2x32x32{', batch norms' * norms}, B=16, T=16",
            kind,
            partial(conv_trained, 16, 16, norms),
            (T1C, SPIKINGJELLY, PLAIN, *floors),
            (Target((SPIKINGJELLY.name,), reach, most=True),),
        )
        for key, title, kind, reach, floors in (
            ("train", "training step", "train", 0.6, (LEARNING,)),
            ("memory", "peak memory of a training step", "memory", 0.5, ()),
        )
        for norms in (False, True)
    ),
    Row("stream", "T=100,000 streamed, MLP 784-512-512-10, B=8", "stream", _mlp(8, 100)),
)
