"""Builds what a release consists of, and tries it in clean environments of each Python at hand.

    python release/wheels.py [--torch] [--pythons python3.12,/opt/python3.14/bin/python3]

`make wheels` runs this. Into `dist/` go an sdist and a wheel of t1c, each as it would be on an
index: where the checkout says of t1c-snntorch in which folder it lies, a release says its version.
The wheels are built from the sdists. Then each wheel is installed into an empty environment of
every Python from 3.11 to 3.14 that is found, and `release/trial.py` runs there.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import tomllib
import zipfile
from email.parser import Parser
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
HOOK = "snntorch-hook"
IN_CHECKOUT = f"t1c-snntorch @ {{root:uri}}/{HOOK}"
MINORS = range(11, 15)
EXTRAS = "[snntorch,demo]"
# Not part of the sources, and much of it large.
LEFT_OUT = shutil.ignore_patterns(".*", "dist", "build", "htmlcov", "__pycache__", "mutants")


def main() -> None:
    """Builds, checks what was built, tries it, and fails where something failed or nothing ran."""
    options = _options()
    dist = ROOT / "dist"
    shutil.rmtree(dist, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix="t1c-wheels-") as folder:
        build(Path(folder), dist)
    for path in sorted(dist.iterdir()):
        say(f"{path.stat().st_size / 1000:8,.0f} kB  dist/{path.name}")
    check(dist)
    found = interpreters(options.pythons)
    for version in sorted({f"3.{minor}" for minor in MINORS} - found.keys()):
        say(f"Python {version}: not found, not tried")
    tried = {
        (version, torch): try_one(version, python, dist, torch)
        for version, python in sorted(found.items())
        for torch in ([False, True] if options.torch else [False])
    }
    if not tried or not all(tried.values()):
        sys.exit(f"{len(tried) - sum(tried.values())} of {len(tried)} trials failed")


def build(folder: Path, dist: Path) -> None:
    """Sdists of a copy of the checkout as a release says it, and wheels of these sdists."""
    sources = folder / "t1c"
    shutil.copytree(ROOT, sources, ignore=LEFT_OUT)
    (sources / ".gitignore").write_bytes((ROOT / ".gitignore").read_bytes())
    hook = tomllib.loads((ROOT / HOOK / "pyproject.toml").read_text())["project"]["version"]
    settings = sources / "pyproject.toml"
    text = settings.read_text()
    if text.count(IN_CHECKOUT) != 1:
        sys.exit(f"pyproject.toml must say {IN_CHECKOUT!r} once")
    settings.write_text(text.replace(IN_CHECKOUT, f"t1c-snntorch=={hook}"))
    # Hooks are a distribution of their own: its sources are no part of this one's.
    shutil.move(sources / HOOK, folder / HOOK)
    builder = environment(folder / "builder", Path(sys.executable))
    pip(builder, "build")
    for path in (folder / HOOK, sources):
        run([builder, "-m", "build", "--outdir", dist, path])


def check(dist: Path) -> None:
    """Raises SystemExit where a wheel or an sdist holds what must not leave this machine."""
    wheels = sorted(dist.glob("*.whl"))
    if [path.name.split("-")[0] for path in wheels] != ["t1c", "t1c_snntorch"]:
        sys.exit(f"expected two wheels, found {wheels}")
    for path in wheels:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            (metadata,) = (name for name in names if name.endswith(".dist-info/METADATA"))
            needs = Parser().parsestr(archive.read(metadata).decode()).get_all("Requires-Dist", [])
        elsewhere = [need for need in needs if "@" in need]
        if elsewhere:
            sys.exit(f"{path.name} depends on a place on this machine: {elsewhere}")
        starting = [name for name in names if name.endswith(".pth")]
        if bool(starting) != (path.name.startswith("t1c_snntorch")):
            sys.exit(f"{path.name} runs at the start of Python: {starting}")
    for path in dist.glob("*.tar.gz"):
        with tarfile.open(path) as archive:
            settings = archive.extractfile(f"{path.name.removesuffix('.tar.gz')}/pyproject.toml")
            if settings is None or b"{root:uri}" in settings.read():
                sys.exit(f"{path.name} asks for a folder that it does not have")


def interpreters(named: list[str]) -> dict[str, Path]:
    """A Python for each version that is asked for, or found on PATH or among pyenv's."""
    found = {}
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    for minor in MINORS:
        name = f"python3.{minor}"
        installed = sorted(pyenv.glob(f"3.{minor}.*/bin/{name}"), reverse=True)
        for candidate in named or [name, *map(str, installed)]:
            path = shutil.which(candidate)
            if path and _version(path) == f"3.{minor}":
                found[f"3.{minor}"] = Path(path)
                break
    return found


def _version(python: str) -> str:
    """As in '3.12'; '' where the program does not run or cannot make environments."""
    code = "import sys, venv, ensurepip; print('{}.{}'.format(*sys.version_info))"
    done = subprocess.run([python, "-c", code], text=True, capture_output=True)
    return done.stdout.strip()


def try_one(version: str, python: Path, dist: Path, torch: bool) -> bool:
    """Installs the wheels into an empty environment and runs the trial; says how it went."""
    (wheel,) = dist.glob("t1c-*.whl")
    title = f"Python {version}, t1c{EXTRAS if torch else ''}"
    with tempfile.TemporaryDirectory(prefix="t1c-wheels-") as folder:
        own = environment(Path(folder) / "venv", python)
        try:
            constraints: list[str | Path] = ["-c", ROOT / "constraints.txt"] if torch else []
            pip(own, "--find-links", dist, *constraints, f"{wheel}{EXTRAS if torch else ''}")
            # Away from the checkout, whose sources must not be what is tried.
            trial: list[str | Path] = [own, ROOT / "release" / "trial.py"]
            trial += ["--torch"] if torch else []
            say(f"{title}: {run(trial, folder).strip().splitlines()[-1]}")
        except subprocess.CalledProcessError as error:
            say(f"{title}: FAILED\n{error.stdout}")
            return False
    return True


def environment(folder: Path, python: Path) -> Path:
    """The interpreter of a new virtual environment."""
    run([python, "-m", "venv", folder])
    return folder / "bin" / "python"


def pip(python: Path, *words: str | Path) -> None:
    """Installs into the environment of an interpreter."""
    run([python, "-m", "pip", "install", "-q", "--disable-pip-version-check", *words])


def run(words: list[str | Path], folder: str | None = None) -> str:
    """What a process prints; CalledProcessError, with that, where it fails."""
    done = subprocess.run(
        [str(word) for word in words],
        cwd=folder,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=True,
    )
    return done.stdout


def say(line: str) -> None:
    """Prints at once: a trial takes a minute."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Build a release and try it.")
    parser.add_argument(
        "--torch", action="store_true", help="try the extras snntorch and demo too: gigabytes"
    )
    parser.add_argument(
        "--pythons", default="", help="interpreters, parted by commas; else those that are found"
    )
    options = parser.parse_args()
    options.pythons = [name for name in options.pythons.split(",") if name]
    return options


if __name__ == "__main__":
    main()
