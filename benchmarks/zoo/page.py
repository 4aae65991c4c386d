"""What was found: lines for the terminal, tables for the page."""

from __future__ import annotations

import re
import statistics
from collections import Counter

from .verdict import VERDICTS, Found

FRAMEWORKS = {
    "SpikingJelly": "All of `spikingjelly.activation_based.model`, and layers and neurons as its "
    "examples use them.",
    "Norse": "Its modules, `norse.torch.models` and `norse.task`.",
    "sinabs": "Ordinary networks through `sinabs.from_torch.from_model`, and its layers.",
    "snnTorch": "Networks in the shapes of its tutorials (by their numbers) and examples.",
    "papers": "Networks in the style of the code that papers publish: neurons and shapes by hand.",
}

KEY = """\
Every model's weights are scaled until each of its layers of neurons spikes in 1-60 % of its steps,
and BatchNorm has statistics. It is exported from one sample; then model and graph run on an input
drawn anew, of another number of samples, and of another number of steps where the model permits it.

- **EXACT**: no spike and no value differs, with sums in torch's own order (`events=False`). Spikes
  are those of the outputs and of every layer that is a node of the same name; other values may
  differ by 1e-4 of their size.
- **ROUNDED**: something differs, and nothing does in float64: the order of sums explains it.
- **WRONG**: something else differs.
- **REFUSED**: an error of t1c says why there is no graph.
- **CRASH**: any other error, or no answer within the limit.

The times are those of `run` as it is by default, which takes sums in the order that is fastest:
"reordered" counts the numbers of the outputs that this changes.
"""


def line(found: Found, seconds: float) -> str:
    """One model in a line, and how long all of it took, for whoever waits."""
    text = (
        f"{seconds:5.1f} s  {found.verdict:8} {found.framework:12} {found.name:42.42} "
        f"{found.nodes:5} {_differing(found):>18}  {found.why[:100]}"
    )
    return text.rstrip()


def totals(all_: list[Found]) -> str:
    """How many of each verdict, by framework."""
    rows = [["", *VERDICTS, "models"], ["---", *["---:"] * (len(VERDICTS) + 1)]]
    for name, group in _groups(all_).items():
        rows.append([name, *_counts(group), str(len(group))])
    rows.append(["**all**", *_counts(all_), str(len(all_))])
    return _table(rows)


def page(all_: list[Found], limits: dict[str, tuple[float, float]], measured: str) -> str:
    """All that stands between the page's markers.

    Args:
        all_: what was found.
        limits: of the models whose export is bounded: seconds, and times the model's memory.
        measured: on what, in a sentence.
    """
    parts = [KEY, totals(all_), _speed(all_), _limits(all_, limits), _refused(all_)]
    for name, group in _groups(all_).items():
        parts.append(f"## {name}\n\n{FRAMEWORKS.get(name, '')}\n\n{_models(group)}")
    parts.append(f"{measured}\n")
    return "\n".join(part for part in parts if part)


def _speed(all_: list[Found]) -> str:
    """The time of a run over the framework's own, by what a model is made of."""
    rows = [["models", "how many", "median", "quarter below", "quarter above", "slowest", "faster"]]
    rows.append(["---", *["---:"] * 6])
    for kind in ("convolutional", "attention", "other"):
        timed = [f for f in all_ if f.kind == kind and f.graph_seconds and f.model_seconds]
        ratios = sorted(f.graph_seconds / f.model_seconds for f in timed)
        if len(ratios) > 1:
            low, middle, high = statistics.quantiles(ratios, n=4)
            numbers = [f"{r:.2f}" for r in (middle, low, high, ratios[-1])]
            rows.append([kind, str(len(ratios)), *numbers, str(sum(r < 1 for r in ratios))])
    if len(rows) == 2:
        return ""
    return (
        "## Time of a run over the framework's own\n\nOf small batches and few steps, so that what "
        f"a call takes counts too.\n\n{_table(rows)}"
    )


def _limits(all_: list[Found], limits: dict[str, tuple[float, float]]) -> str:
    """Time and memory of the exports that have a bound, the proof included."""
    rows = [["model", "nodes", "export", "at most", "memory", "times the model's", "at most"]]
    rows.append(["---", *["---:"] * 6])
    for found in all_:
        if found.name in limits:
            seconds, times = limits[found.name]
            memory = f"{found.export_bytes / 2**20:.0f} MiB" if found.export_bytes else ""
            factor = f"{found.export_times:.1f}" if found.export_times is not None else ""
            rows.append(
                [
                    *(found.name, str(found.nodes or "")),
                    *(f"{found.export_seconds:.1f} s", f"{seconds:g} s"),
                    *(memory, factor, f"{times:g}"),
                ]
            )
    if len(rows) == 2:
        return ""
    return f"## Time and memory of the export\n\n{_table(rows)}"


def reasons(all_: list[Found]) -> str:
    """What keeps models from having a graph though one could say them, the most frequent first."""
    counts = Counter(
        (found.verdict, _kind(found.why))
        for found in all_
        if found.verdict in ("REFUSED", "CRASH", "WRONG") and not found.refusal
    )
    if not counts:
        return ""
    rows = [["models", "verdict", "because"], ["---:", "---", "---"]]
    rows += [[str(n), verdict, _safe(kind)] for (verdict, kind), n in counts.most_common()]
    return _table(rows)


def _refused(all_: list[Found]) -> str:
    """What no step-by-step graph can say, and the other reasons."""
    said = [found for found in all_ if found.verdict == "REFUSED" and found.refusal]
    parts = []
    if said:
        rows = [["what no step-by-step graph can say", "because it"], ["---", "---"]]
        rows += [[f"{found.framework}: {found.name}", found.refusal] for found in said]
        parts.append(_table(rows))
    parts += [text] if (text := reasons(all_)) else []
    return "\n".join(["## What has no graph\n", *parts]) if parts else ""


def _kind(why: str) -> str:
    """A reason without the place where it was met."""
    text = re.sub(r"^(module '[^']*' \([^)]*\)|[^\s:]+:\d+|in \S+): ", "", why)
    return text.split(";")[0]


def _models(group: list[Found]) -> str:
    rows = [
        [
            "model",
            "nodes",
            "parameters",
            "export",
            "spikes",
            "differing",
            "torch",
            "t1c",
            "reordered",
            "verdict",
        ]
    ]
    rows.append(["---", *["---:"] * 8, "---"])
    for found in group:
        verdict = found.verdict
        if found.verdict != "EXACT":
            reason = found.refusal if found.verdict == "REFUSED" else ""
            verdict += f": {_safe(reason or found.why)}"
        rows.append(
            [
                *(found.name, str(found.nodes or ""), _millions(found.parameters)),
                f"{found.export_seconds:.1f} s",
                *(_rates(found), _differing(found)),
                *(_time(found.model_seconds), _time(found.graph_seconds)),
                *(str(found.fast_off) if found.graph_seconds else "", verdict),
            ]
        )
    return _table(rows)


def _differing(found: Found) -> str:
    of = found.spikes + found.values
    return f"{found.spikes_off + found.values_off} of {of:,}" if of else ""


def _rates(found: Found) -> str:
    if found.rates is None:
        return ""
    low, high = (f"{100 * rate:.0f}" for rate in found.rates)
    outside = f" ({found.silent} of {found.layers} outside)" if found.silent else ""
    return f"{low}-{high} %{outside}"


def _millions(parameters: int) -> str:
    return f"{parameters / 1e6:.1f} M" if parameters >= 1e5 else f"{parameters:,}"


def _time(seconds: float) -> str:
    return f"{1000 * seconds:.3g} ms" if seconds else ""


def _counts(group: list[Found]) -> list[str]:
    counts = Counter(found.verdict for found in group)
    return [str(counts[verdict]) for verdict in VERDICTS]


def _groups(all_: list[Found]) -> dict[str, list[Found]]:
    groups: dict[str, list[Found]] = {}
    for found in all_:
        groups.setdefault(found.framework, []).append(found)
    return groups


def _safe(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;")


def _table(rows: list[list[str]]) -> str:
    return "\n".join("| " + " | ".join(row) + " |" for row in rows) + "\n"
