"""What is found out about one entry."""

from __future__ import annotations

from dataclasses import dataclass

VERDICTS = ("EXACT", "ROUNDED", "WRONG", "REFUSED", "CRASH")


@dataclass
class Found:
    """A line of the table.

    Attributes:
        framework, name: of the entry.
        verdict: EXACT, nothing differs; ROUNDED, only what the order of sums explains; WRONG;
            REFUSED, by an error of t1c; CRASH, any other error.
        why: the first line of the error, or what differs.
        nodes: of the graph.
        parameters: numbers in the model's parameters.
        export_seconds: what ``to_ir`` took.
        export_times: the memory that it took beyond what was held before, over the model's size.
        export_bytes: the same in bytes; None where the system does not tell.
        spikes_off, spikes: of the layers that are nodes of the same name, and of outputs of spikes.
        fired: how many of the spikes compared are no silence, where that is counted.
        values_off, values: of the other outputs.
        fast_off: numbers of the outputs that differ where sums are in the fastest order.
        rates: the lowest and the highest share of steps with a spike, of the neuron layers.
        silent: neuron layers outside of 1-60 %.
        layers: neuron layers.
        model_seconds, graph_seconds: what a run takes.
        kind: 'attention' where two activations are multiplied as matrices, 'convolutional' where
            there are maps, else 'other'.
        refusal: why no graph can say it; "" if one can.
    """

    framework: str
    name: str
    verdict: str = "CRASH"
    why: str = ""
    nodes: int = 0
    parameters: int = 0
    export_seconds: float = 0.0
    export_times: float | None = None
    export_bytes: int | None = None
    spikes_off: int = 0
    spikes: int = 0
    fired: int = 0
    values_off: int = 0
    values: int = 0
    fast_off: int = 0
    rates: tuple[float, float] | None = None
    silent: int = 0
    layers: int = 0
    model_seconds: float = 0.0
    graph_seconds: float = 0.0
    kind: str = "other"
    refusal: str = ""
