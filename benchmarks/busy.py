"""A run while other processes want the same cores: `python benchmarks/busy.py --burners 2`.

Runs `t1c run`, and the same call of the library, on many handwritten digits; each with the
environment as it is and with variables of OpenMP, in turn, and prints medians. Burners are
processes that do nothing but count.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parent.parent
MODEL = ROOT / "examples" / "digits.t1c"
DATA = ROOT / "examples" / "digits_test.npz"

COMMAND = "import sys; from t1c.cli import main; sys.argv = ['t1c', *sys.argv[1:]]; main()"
LIBRARY = """
import json, sys
from t1c import sdk
report = sdk.run_file(sys.argv[2], sys.argv[3], sys.argv[5])
print(json.dumps(report.to_dict()))
"""
PROGRAMS = {"t1c run": COMMAND, "library": LIBRARY}
VARIABLES = ("", "OMP_WAIT_POLICY=passive", "GOMP_SPINCOUNT=300000")
"""None; threads that sleep at once; what GNU's OpenMP does where nobody says anything."""
OURS = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "OMP_NUM_THREADS")


def seconds(program: str, variable: str, data: Path, results: Path) -> float:
    """What one run reports that it took."""
    name, _, value = variable.partition("=")
    environment = {k: v for k, v in os.environ.items() if k not in OURS}
    arguments = ["run", str(MODEL), str(data), "--output", str(results), "--json"]
    found = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        env={**environment, **({name: value} if name else {})},
        stdout=subprocess.PIPE,
        check=True,
    )
    return float(json.loads(found.stdout)["seconds"])


def _many_digits(path: Path, count: int) -> None:
    """Write the digits of the example again and again."""
    with np.load(DATA) as held:
        arrays = {k: np.resize(v, (count, *v.shape[1:])) if v.ndim else v for k, v in held.items()}
    np.savez(path, **arrays)


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--burners", type=int, default=0, help="other busy processes")
    parser.add_argument("--samples", type=int, default=60_000, help="digits")
    parser.add_argument("--repeats", type=int, default=5, help="runs of each kind")
    parser.add_argument("--variables", nargs="*", default=VARIABLES, help="NAME=VALUE, or ''")
    parser.add_argument("--programs", nargs="*", default=list(PROGRAMS), choices=PROGRAMS)
    options = parser.parse_args()
    burn = [sys.executable, "-c", "while True: pass"]
    times: dict[tuple[str, str], list[float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        data, results = Path(folder) / "digits.npz", Path(folder) / "results.npz"
        _many_digits(data, options.samples)
        burners = [subprocess.Popen(burn) for _ in range(options.burners)]
        try:
            for _ in range(options.repeats):
                for program in options.programs:
                    for variable in options.variables:
                        took = seconds(PROGRAMS[program], variable, data, results)
                        times.setdefault((program, variable), []).append(took)
        finally:
            for process in burners:
                process.kill()
                process.wait()
    lines = [f"{options.samples:,} digits, {options.burners} other busy processes, seconds"]
    for (program, variable), taken in times.items():
        spread = f"{min(taken):.2f} .. {max(taken):.2f}"
        lines.append(
            f"{program:8} {variable or '-':24} {statistics.median(taken):6.2f}  ({spread})"
        )
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
