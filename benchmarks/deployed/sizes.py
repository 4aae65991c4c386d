"""How big what was written is: files, and the flash and memory of a small processor."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path

from t1c import deploy, ir

from .sample import Sample

TOOLS = ("arm-none-eabi-gcc", "arm-none-eabi-size")
CORTEX_M4 = ("-mcpu=cortex-m4", "-mthumb", "-mfpu=fpv4-sp-d16", "-mfloat-abi=hard")


def table(graph: ir.Graph, integers: Sample) -> str:
    """Sizes in bytes of the same network in float32 and in integers."""
    wide, narrow = _sizes(graph, "float32"), _sizes(integers.graph, "int8")
    lines = ["| what | float32 | 8 bits |", "| --- | ---: | ---: |"]
    lines += [f"| {name} | {size} | {narrow[name]} |" for name, size in wide.items()]
    return "\n".join(lines) + "\n"


def _sizes(graph: ir.Graph, numbers: str) -> dict[str, str]:
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        ir.write(folder / "model.t1c", graph)
        deploy.to_onnx(graph, folder / "model.onnx")
        deploy.to_exported(graph, folder / "model.pt2")
        sizes = {
            "`.t1c`": f"{(folder / 'model.t1c').stat().st_size:,}",
            "ONNX, a step": f"{(folder / 'model.onnx').stat().st_size:,}",
            "torch program, a step": f"{(folder / 'model.pt2').stat().st_size:,}",
        }
        report = deploy.to_c(graph, folder / "c", numbers)
        sizes["C: weights"] = f"{report.weights:,}"
        sizes["C: state and scratch"] = f"{report.state + report.scratch:,}"
        sizes["Cortex-M4: flash (text and constants)"] = _flash(folder / "c", report.name)
    return sizes


def _flash(folder: Path, name: str) -> str:
    if not all(map(shutil.which, TOOLS)):
        return "not installed"
    built = folder / "model.o"
    source = str(folder / f"{name}.c")
    subprocess.run(
        [TOOLS[0], *CORTEX_M4, "-std=c99", "-Os", "-ffp-contract=off", "-c", source, "-o", built],
        check=True,
    )
    told = subprocess.run([TOOLS[1], built], capture_output=True, text=True, check=True)
    text, data, *_ = told.stdout.splitlines()[1].split()
    return f"{int(text) + int(data):,}"
