"""The rules: one row for each. A code is never given another meaning."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from . import files, neurons, structure, weights
from .subject import Hit, Subject

Severity = Literal["error", "warning", "info"]
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "info")


@dataclass(frozen=True)
class Rule:
    """One thing that may be odd about a graph.

    Attributes:
        code: a letter and three digits: T1 neurons, T2 structure, T3 numbers, T4 files.
        severity: 'error', it cannot do what it was made for; 'warning', it probably does not;
            'info', worth knowing.
        title: what is found, in a few words.
        check: finds the places; its docstring says why it matters.
    """

    code: str
    severity: Severity
    title: str
    check: Callable[[Subject], Iterator[Hit]]

    @property
    def why(self) -> str:
        """Why it matters."""
        return " ".join((inspect.getdoc(self.check) or "").split())


RULES = (
    Rule("T101", "error", "threshold not above 0", neurons.threshold_not_positive),
    Rule("T102", "error", "neurons that can never fire", neurons.never_fires),
    Rule("T103", "warning", "some neurons that can never fire", neurons.some_never_fire),
    Rule("T104", "info", "tau of 1", neurons.no_memory),
    Rule("T105", "warning", "tau of more than 10,000 steps", neurons.huge_tau),
    Rule("T106", "error", "reset at or above the threshold", neurons.resets_above),
    Rule("T107", "info", "no reset", neurons.no_reset),
    Rule("T108", "error", "v_min at or above the threshold", neurons.clamped_above),
    Rule("T109", "warning", "fires without input", neurons.fires_alone),
    Rule("T110", "info", "neurons with unlike options", neurons.unlike_neurons),
    Rule("T111", "info", "a reset that few know", neurons.rare_reset),
    Rule("T112", "warning", "input multiplied by 0", neurons.deaf),
    Rule("T201", "warning", "dead end", structure.dead_end),
    Rule("T202", "warning", "Input without effect", structure.unused_input),
    Rule("T203", "warning", "Output that no Input reaches", structure.unreached_output),
    Rule("T204", "info", "neuron without input", structure.undriven),
    Rule("T205", "info", "BatchNorm that could be folded", structure.unfused_norm),
    Rule("T206", "info", "Dropout", structure.dropout),
    Rule("T207", "warning", "BatchNorm with untouched statistics", structure.untrained_norm),
    Rule("T208", "info", "max pool of numbers that are not spikes", structure.pools_numbers),
    Rule("T209", "info", "two layers of weights in a row", structure.linear_twice),
    Rule("T210", "warning", "HybridRegion that does not fit", structure.unfit_region),
    Rule("T211", "info", "number of steps not recorded", structure.no_steps),
    Rule("T212", "info", "nothing fires", structure.no_neuron),
    Rule("T301", "error", "NaN or infinite numbers", weights.not_finite),
    Rule("T302", "warning", "weights of 0", weights.all_zero),
    Rule("T303", "warning", "the same weights twice", weights.same_twice),
    Rule("T304", "info", "weights of several dtypes", weights.mixed_dtypes),
    Rule("T305", "warning", "weights too far apart for weight_bits", weights.few_levels),
    Rule("T306", "warning", "accumulator that can overflow", weights.narrow_accumulator),
    Rule("T307", "info", "outputs without weights", weights.constant_outputs),
    Rule("T401", "info", "needs a later format", files.later_format),
    Rule("T402", "warning", "names that clash elsewhere", files.clashing_names),
    Rule("T403", "info", "names that tools stumble over", files.odd_names),
    Rule("T404", "warning", "note without effect", files.idle_notes),
    Rule("T405", "warning", "stamp that does not fit", files.stale_stamp),
)
