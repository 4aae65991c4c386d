"""The tables, as Markdown."""

from __future__ import annotations

from typing import Any

Record = dict[str, Any]


def targets(records: list[Record]) -> str:
    """A line for each figure to reach."""
    rows = [["workload", "against", "theirs", "t1c", "ratio (quartiles)", "reach", ""]]
    rows.append(["---", "---", "---:", "---:", "---:", "---", "---"])
    for record in records:
        rows += [_target(record, target) for target in record["targets"]]
    return _lines(rows)


def summary(records: list[Record]) -> str:
    """The same in fewer columns."""
    rows = [["workload", "against", "theirs", "t1c", "ratio", "reach"]]
    rows.append(["---", "---", "---:", "---:", "---:", "---"])
    for record in records:
        for target in record["targets"]:
            *cells, ratio, reach, _ = _target(record, target)
            rows.append([*cells, ratio.split(" (")[0], reach])
    return _lines(rows)


def everything(records: list[Record]) -> str:
    """A line for each candidate of each row."""
    rows = [["workload", "run by", "median", "quartiles", "times t1c's", "rounds"]]
    rows.append(["---", "---", "---:", "---:", "---:", "---:"])
    for record in records:
        title = record["title"]
        for name, own in record["candidates"].items():
            if "failed" in own:
                rows.append([title, name, f"failed: {_safe(own['failed'])}", "", "", ""])
            else:
                unit = record["unit"]
                low, high = (quantity(own[q], unit) for q in ("q1", "q3"))
                ratio = own.get("ratio")
                rows.append(
                    [
                        *(title, name, quantity(own["median"], unit), f"{low} – {high}"),
                        number(ratio["median"]) if ratio else "",
                        str(len(own["values"])),
                    ]
                )
            title = ""
    return _lines(rows)


def notes(records: list[Record], machine: dict[str, str]) -> str:
    """What was fed to the networks, who ran them how, and on what."""
    found = []
    for record in records:
        inputs, *layers = (f"{100 * rate:.1f} %" for rate in record["rates"])
        others = "" if record["others"] is None else f"; others' share {record['others']:.0%}"
        found.append(f"- {record['title']}: input {inputs}, layers {', '.join(layers)}{others}")
    ways = {name: own["note"] for record in records for name, own in record["candidates"].items()}
    chunks = [
        f"- {record['title']}: {own['how']}"
        for record in records
        for own in record["candidates"].values()
        if own.get("how")
    ]
    return "\n".join(
        [
            "How often inputs and layers fire, and the share of the CPUs that other processes "
            "took meanwhile:",
            "",
            *found,
            "",
            "How each was run:",
            "",
            *(f"- {name}: {note}" for name, note in ways.items()),
            "",
            "The floor's chunks, the fastest of those tried:",
            "",
            *chunks,
            "",
            measured_on(machine),
        ]
    )


def measured_on(machine: dict[str, str]) -> str:
    """The machine and the versions, in a sentence."""
    about = ("cpu", "gpu", "cores", "threads", "instructions", "system", "python")
    versions = ", ".join(f"{k} {v}" for k, v in machine.items() if k not in about)
    where = machine["cpu"] + (f" with an {machine['gpu']}" if "gpu" in machine else "")
    return (
        f"Measured by `make bench` on {where}, {machine['cores']} cores, "
        f"{machine['threads']} threads, {machine['instructions']}, {machine['system']}, with "
        f"Python {machine['python']}, {versions}."
    )


def quantity(value: float, unit: str) -> str:
    """A time or a size in a unit that fits."""
    units = ((1, "s"), (1e-3, "ms"), (1e-6, "µs")) if unit == "s" else ((2**20, "MiB"),)
    size, name = next((one for one in units if value >= one[0]), units[-1])
    return f"{number(value / size)} {name}"


def number(value: float) -> str:
    """Three digits."""
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def _target(record: Record, target: Record) -> list[str]:
    sign = "≤" if target["most"] else "≥"
    reach = f"{sign} {target['reach']:g}"
    if "ratio" not in target:
        return [record["title"], target["against"], "", "", "not measured", reach, "✗"]
    best, ratio = target["best"], target["ratio"]
    against = target["against"] if best == target["against"] else f"{target['against']}: {best}"
    ours = target.get("ours", record["ours"])
    medians = [record["candidates"][name]["median"] for name in (best, ours)]
    way = "" if ours == record["ours"] else f" ({ours.removeprefix('t1c, ')})"
    return [
        record["title"] + way,
        against if not best.startswith("t1c") else target["against"],
        *(quantity(m, record["unit"]) for m in medians),
        f"{number(ratio['median'])} ({number(ratio['q1'])} – {number(ratio['q3'])})",
        *(reach, "✓" if target["reached"] else "✗"),
    ]


def _safe(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;")


def _lines(rows: list[list[str]]) -> str:
    return "\n".join("| " + " | ".join(row) + " |" for row in rows) + "\n"
