"""All of ``spikingjelly.activation_based.model``, in both step modes where it has both."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from types import SimpleNamespace
from typing import Any

import torch
from spikingjelly.activation_based import functional, neuron, surrogate
from spikingjelly.activation_based.model import (
    masnn,
    maxformer,
    ms_resnet,
    parametric_lif_net,
    qkformer,
    sew_resnet,
    snas_net,
    spike_dhs,
    spike_driven_transformer,
    spikformer,
    spiking_resnet,
    spiking_vgg,
    spiking_vggws_ottt,
)
from torch import nn

from ..entry import Entry, current, events, fixed
from ..layouts import IMAGE, SEQUENCE, STEP, Layout
from .spikingjelly_layers import layer_entries

CLASSES = 10
RGB = (3, 32, 32)

Build = Callable[..., nn.Module]

_entry = partial(Entry, "SpikingJelly", rest=functional.reset_net)


def _in_mode(build: Build, mode: str) -> nn.Module:
    model = build()
    functional.set_step_mode(model, mode)
    return model


def _both(name: str, build: Build, shape: tuple[int, ...] = RGB, **more: Any) -> list[Entry]:
    """A model step by step, and of whole sequences."""
    modes: tuple[tuple[str, Layout], ...] = (("s", STEP), ("m", SEQUENCE))
    return [
        _entry(f"{name}, step_mode={mode}", partial(_in_mode, build, mode), shape, layout, **more)
        for mode, layout in modes
    ]


def _lif(build: Build, **more: Any) -> Build:
    return partial(
        build,
        spiking_neuron=neuron.LIFNode,
        surrogate_function=surrogate.ATan(),
        detach_reset=True,
        num_classes=CLASSES,
        **more,
    )


def _plif(build: Build, **more: Any) -> Build:
    kwargs = {"surrogate_function": surrogate.ATan(), "detach_reset": True}
    return partial(build, spiking_neuron=neuron.ParametricLIFNode, init_tau=2.0, **kwargs, **more)


def _named(module: Any, prefix: str) -> list[str]:
    return [name for name in module.__all__ if name.startswith(prefix)]


def _resnets() -> list[Entry]:
    found = []
    for name in _named(spiking_resnet, "spiking_"):
        found += _both(name, _lif(getattr(spiking_resnet, name)), draw=current)
    for name in _named(sew_resnet, "sew_"):
        build = _lif(getattr(sew_resnet, name), cnf="ADD")
        found += _both(f"{name}, ADD", build, draw=current)
    for how in ("AND", "IAND"):
        build = _lif(sew_resnet.sew_resnet18, cnf=how)
        found += _both(f"sew_resnet18, {how}", build, draw=current)
    return found


def _budgets() -> list[Entry]:
    """What exporting may cost at most, on two cores."""
    found = []
    small = _parametric()[1]
    for name, seconds in (("spiking_resnet18", 6.0), ("spiking_resnet50", 20.0)):
        build = partial(_in_mode, _lif(getattr(spiking_resnet, name)), "m")
        limits = {"after": small, "seconds": seconds, "times": 3.0}
        entry = _entry(f"{name} at 64x64", build, (3, 64, 64), SEQUENCE, current, **limits)
        found.append(entry)
    return found


def _vggs() -> list[Entry]:
    found = []
    for name in _named(spiking_vgg, "spiking_"):
        found += _both(name, _lif(getattr(spiking_vgg, name)), draw=current)
    for name in _named(spiking_vggws_ottt, "ottt_spiking_vgg"):
        build = partial(getattr(spiking_vggws_ottt, name), num_classes=CLASSES)
        # Its neurons are for training step by step.
        found.append(_entry(name, partial(_in_mode, build, "s"), RGB, STEP, current))
    return found


def _parametric() -> list[Entry]:
    shapes = {
        "MNISTNet": (1, 28, 28),
        "FashionMNISTNet": (1, 28, 28),
        "NMNISTNet": (2, 34, 34),
        "CIFAR10Net": (3, 32, 32),
        "CIFAR10DVSNet": (2, 128, 128),
        "DVSGestureNet": (2, 128, 128),
    }
    found = []
    for name, shape in shapes.items():
        build = _plif(getattr(parametric_lif_net, name), channels=16)
        draw = events if shape[0] == 2 else current
        found += _both(name, build, shape, draw=draw)
    return found


ATTENDS_TO_TIME = "weighs each step by what all steps hold, those to come included"


def _images(name: str, build: Build, refusal: str = "") -> list[Entry]:
    """A model of whole sequences, that takes one image too and repeats it."""
    return [
        _entry(f"{name}, an image", build, RGB, IMAGE, current, **fixed(4), refusal=refusal),
        _entry(f"{name}, a sequence", build, RGB, SEQUENCE, current, refusal=refusal),
    ]


def _multi_step() -> list[Entry]:
    few = {"T": 4, "num_classes": CLASSES}
    found = []
    for module, names in (
        (ms_resnet, ("ms_resnet18", "ms_resnet34", "max_resnet18")),
        (masnn, ("att_ms_resnet18",)),
        (maxformer, ("maxformer_10_384", "maxformer_cifar")),
        (qkformer, ("qkformer_10_384",)),
        (spike_driven_transformer, ("sdt_8_384",)),
    ):
        for name in names:
            refusal = ATTENDS_TO_TIME if module is masnn else ""
            found += _images(name, partial(getattr(module, name), **few), refusal)
    size = {"img_size_h": 32, "img_size_w": 32}
    for name in ("spikformer_ti", "spikformer_s"):
        found += _images(name, partial(getattr(spikformer, name), **few, **size))
    found += _images("spikformer_cifar10", partial(spikformer.spikformer_cifar10, **few))
    channels = partial(qkformer.QKFormer, **few, embed_dims=192, depths=(1, 1, 1))
    found += _images("QKFormer, channels", partial(channels, qka_type="channel"))
    gesture = partial(masnn.masnn_dvs128_gesture, T=10)
    found.append(
        _entry(
            "masnn_dvs128_gesture",
            gesture,
            (2, 32, 32),
            SEQUENCE,
            events,
            **fixed(10),
            refusal=ATTENDS_TO_TIME,
        )
    )
    return found


def _searched() -> list[Entry]:
    """Networks that an architecture search found."""
    found = []
    connections = torch.tensor([[0, 3, 2, 1], [0, 0, 3, 4], [0, 0, 0, 2], [0, 0, 0, 0]])
    for kind in ("forward", "backward"):
        arguments = SimpleNamespace(
            timestep=5,
            second_avgpooling=2,
            dataset="cifar10",
            celltype=kind,
            threshold=1.0,
            tau=4 / 3,
        )
        build = partial(snas_net.SNASNet, arguments, connections)
        found.append(_entry(f"SNASNet, {kind}", build, RGB, IMAGE, current, **fixed(5)))
    arguments = SimpleNamespace(
        fea_step=3, fea_num_layers=8, fea_block_multiplier=3, fea_filter_multiplier=48
    )
    build = partial(_in_mode, partial(spike_dhs.SpikeDHS, 3, arguments), "m")
    found.append(_entry("SpikeDHS", build, RGB, IMAGE, current, **fixed(6)))
    return found


ENTRIES = [
    *_resnets(),
    *_vggs(),
    *_parametric(),
    *_multi_step(),
    *_searched(),
    *layer_entries(),
    *_budgets(),
]
