"""Load a trained spiking network from its file and watch it read handwritten digits.

    python examples/digits_demo.py [N]        (make demo; N: which test digit to draw)

The network is ``digits.t1c``, trained by ``train_digits.py``. It sees only images that it was not
trained on.
"""

import argparse
import time
from statistics import median

import digits
import torch
from rich.console import Console, Group
from rich.panel import Panel
from rich.table import Table
from rich.text import Text
from torch import Tensor

from t1c import ir
from t1c.bridge import GraphExecutor, ir_to_torch

SHADES = " ░▒▓█"
REPEATS = 5
NEXT = (
    (".venv/bin/t1c info examples/digits.t1c", "shapes, parameters, state and size of a file"),
    (".venv/bin/t1c run examples/digits.t1c examples/digits_test.npz", "this job from the shell"),
    ("examples/train_digits.py", "how the network was trained and written"),
    ("README.md", "ten lines of use, and where to read on"),
)


def layer_table(graph: ir.Graph, traced: dict[str, Tensor]) -> Table:
    """The nodes in the file, and how often the neurons among them fired."""
    table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0))
    for heading in ("node", "type", "output shape"):
        table.add_column(heading)
    table.add_column("parameters", justify="right")
    table.add_column("spike rate", justify="right")
    for name, node in graph.nodes.items():
        shape = " × ".join(str(size) for size in traced[name].shape[2:])
        parameters = sum(array.size for array in node.parameters().values())
        rate = f"{traced[name].mean():.1%}" if isinstance(node, ir.LIF) else ""
        table.add_row(name, node.primitive, shape, f"{parameters:,}" if parameters else "", rate)
    return table


def seconds_per_run(executor: GraphExecutor, xs: Tensor) -> float:
    """The median of a few runs, after one that is not counted."""
    executor.run(xs)
    seconds = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        executor.run(xs)
        seconds.append(time.perf_counter() - start)
    return median(seconds)


def picture(image: Tensor) -> Panel:
    """An (H, W) image of 0..1 as shaded blocks, two characters wide for each pixel."""
    levels = (image * (len(SHADES) - 1)).round().int().tolist()
    rows = ("".join(SHADES[level] * 2 for level in row) for row in levels)
    return Panel.fit(Text("\n".join(rows)), padding=0, border_style="dim")


def raster(spikes: Tensor, classes: list[str]) -> Table:
    """Output spikes (T, classes): one row for each class, one column for each step."""
    counts = spikes.sum(dim=0).int().tolist()
    winner = int(digits.decide(spikes[:, None]))
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("")
    table.add_column(f"output spikes over {len(spikes)} steps →")
    table.add_column("count", justify="right")
    table.add_column("")
    for index, name in enumerate(classes):
        marks = " ".join("█" if fired else "·" for fired in spikes[:, index])
        mark = "◀ its answer" if index == winner else ""
        style = "bold green" if index == winner else "dim" if not counts[index] else ""
        table.add_row(name, marks, str(counts[index]), mark, style=style)
    return table


def facts(executor: GraphExecutor, xs: Tensor, labels: Tensor) -> Table:
    """How many digits it gets right, and how long one takes."""
    spikes, _ = executor.run(xs)
    count = len(labels)
    right = int((digits.decide(spikes) == labels).sum())
    together = seconds_per_run(executor, xs) / count
    alone = seconds_per_run(executor, xs[:, :1])
    table = Table.grid(padding=(0, 3, 0, 0))
    table.add_row(
        "[bold]Test accuracy",
        f"[bold green]{right / count:.2%}",
        f"{right} of {count} digits that it was not trained on",
    )
    table.add_row(
        "[bold]Time per digit",
        f"[bold green]{together * 1000:.2f} ms",
        f"all {count} at once; {alone * 1000:.1f} ms for one alone (median of {REPEATS})",
    )
    return table


def chosen_digit(count: int) -> int:
    """Which of the test digits to draw, from the command line."""
    parser = argparse.ArgumentParser(description="Run a spiking network on handwritten digits.")
    parser.add_argument(
        "n", metavar="N", nargs="?", type=int, default=0, help="which test digit to draw"
    )
    chosen: int = parser.parse_args().n
    if not 0 <= chosen < count:
        parser.error(f"there are {count} test digits: N is from 0 to {count - 1}, not {chosen}")
    return chosen


def main() -> None:
    """Load, run, show."""
    _, test = digits.load_split()
    chosen = chosen_digit(len(test.images))
    graph = ir.read(digits.MODEL)
    executor = ir_to_torch(graph)
    notes = graph.metadata
    xs = digits.encode(test.images, notes["steps"])
    with torch.no_grad():
        traced = executor.trace(xs)
        results = facts(executor, xs, test.labels)

    console = Console(highlight=False)
    console.rule("[bold]A spiking network reads handwritten digits")
    size = digits.MODEL.stat().st_size / 1000
    console.print(f"\n[bold]{digits.MODEL.name}[/bold] ({size:.0f} kB): {notes['task']}")
    console.print(f"{notes['steps']} steps of {notes['encoding']}\n")
    console.print(layer_table(graph, traced))
    console.print()
    console.print(results)
    console.print()
    drawing = Group(
        f"test digit {chosen}: a {notes['classes'][test.labels[chosen]]}",
        picture(test.images[chosen, 0]),
    )
    side_by_side = Table.grid(padding=(0, 3, 0, 0))
    side_by_side.add_row(drawing, raster(traced["output"][:, chosen], notes["classes"]))
    console.print(side_by_side)
    console.print("\n[bold]Where to go next[/bold]")
    for what, why in NEXT:
        console.print(f"  [cyan]{what}[/cyan]\n      {why}")


if __name__ == "__main__":
    main()
