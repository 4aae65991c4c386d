"""Data for a graph from an ``.npz`` file: inputs, labels, and how many steps.

What the file holds::

    x              the input: (T, N, *shape) is a sequence of T steps; (N, *shape) stands still,
                   and is shown at every step
    x/<name>       one for each Input, where the graph has several
    steps          for how many steps to show it, where nothing is a sequence (optional)
    y or labels    the right class of each sample, integers (N,) (optional)

Other arrays are not looked at. Nothing is unpickled.
"""

from __future__ import annotations

import contextlib
import os
import warnings
from collections.abc import Callable, Container, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from t1c import ir
from t1c.ir.errors import InputError, Problem
from t1c.ir.fields import Array, show
from t1c.ir.file_kinds import HDF5_FILE, found_instead
from t1c.ir.npz import UNREADABLE, opened_npz
from t1c.ir.primitives.border import how_many_steps
from t1c.ir.shapes import Shape

LABEL_NAMES = ("y", "labels")


@dataclass(frozen=True)
class Samples:
    """What a graph is to be run on.

    Attributes:
        inputs: Input name -> numbers of shape (T, N, *shape). What stands still over time is a
            view that takes no more memory than one step.
        labels: the right class of each sample, integers (N,), or None.
    """

    inputs: dict[str, Array]
    labels: Array | None = None

    @property
    def steps(self) -> int:
        """T."""
        return int(next(iter(self.inputs.values())).shape[0])

    @property
    def count(self) -> int:
        """N."""
        return int(next(iter(self.inputs.values())).shape[1])


def read_samples(
    path: str | os.PathLike[str],
    graph: ir.Graph,
    *,
    steps: int | None = None,
    allow_nonfinite: bool = False,
) -> Samples:
    """Read what ``graph`` is to be run on from an ``.npz`` file.

    Args:
        path: the file; the module's docstring says what it holds.
        graph: whose Inputs the arrays must fit.
        steps: for how many steps to show inputs without a time axis. If None, a sequence beside
            them says, or else the file's ``steps``, or else the ``hold`` of the graph's Inputs, or
            else its ``metadata['steps']``.
        allow_nonfinite: accept NaN and infinite numbers.

    Raises:
        FileNotFoundError: there is no such file.
        InputError: it is not an .npz file or is damaged, an array is missing or of the wrong kind
            or shape, or nothing says how many steps to take.

    Warns:
        UserWarning: ``y`` or ``labels`` is there but cannot be labels, and is left alone; or an
            Input that holds one value is given a sequence of one step, and nothing says that this
            is meant (``steps=1``).
    """
    with _opened(path) as file:
        keys = _input_keys(file, graph, str(path))
        arrays = {name: _numbers(file, key, allow_nonfinite) for name, key in keys.items()}
        where = {name: f"array {key!r}" for name, key in keys.items()}

        def stated() -> Array | None:
            return _read(file, "steps") if "steps" in file.files else None

        inputs = _over_time(arrays, where, graph, steps, stated)
        if steps is None:
            _warn_of_single_steps(graph, inputs, where)
        label_key = next((key for key in LABEL_NAMES if key in file.files), None)
        labels = None if label_key is None else _labels(file, label_key)
    count = _count({keys[name]: array.shape[1] for name, array in inputs.items()})
    if labels is not None and len(labels) != count:
        raise InputError(
            Problem(
                f"{len(labels)} labels", f"{count}, one per sample", where=f"array {label_key!r}"
            )
        )
    return Samples(inputs, labels)


def as_samples(
    inputs: Any, graph: ir.Graph, *, steps: int | None = None, allow_nonfinite: bool = False
) -> Samples:
    """What ``graph`` is to be run on, whatever it comes as.

    Args:
        inputs: ``Samples``; the path of an ``.npz`` file; numbers for the one Input, or a dict of
            them by Input name: (T, N, *shape), or (N, *shape) for what stands still over time.
        graph: whose Inputs they must fit.
        steps: for how many steps to show what stands still; see ``read_samples``.
        allow_nonfinite: accept NaN and infinite numbers.

    Raises:
        FileNotFoundError: there is no such file.
        InputError: something is missing, of the wrong kind or shape, or nothing says how many
            steps to take.

    Example:
        >>> nodes = {"in": ir.Input((3,), hold=5), "out": ir.Output((3,))}
        >>> samples = as_samples(np.ones((2, 3)), ir.Graph(nodes, [("in", "out")]))
        >>> samples.steps, samples.count
        (5, 2)
    """
    if isinstance(inputs, str | os.PathLike):
        return read_samples(inputs, graph, steps=steps, allow_nonfinite=allow_nonfinite)
    labels = None
    if isinstance(inputs, Samples):
        inputs, labels = inputs.inputs, inputs.labels
    names = list(graph.inputs())
    if not isinstance(inputs, Mapping):
        inputs = {names[0]: inputs} if len(names) == 1 else {}
    if set(inputs) != set(names):
        raise InputError(
            Problem(
                f"inputs for {sorted(inputs)}" if inputs else "one array, or nothing",
                f"one for each Input: {', '.join(map(repr, names))}",
                where="inputs",
            )
        )
    where = {name: f"input {name!r}" for name in names}
    arrays = {
        name: _checked(np.asarray(inputs[name]), where[name], allow_nonfinite) for name in names
    }
    given = _over_time(arrays, where, graph, steps, lambda: None)
    _count({name: array.shape[1] for name, array in given.items()})
    return Samples(given, labels)


def names_of(graph: ir.Graph) -> dict[str, tuple[str, ...]]:
    """Input name -> what its numbers may be called: ``x/<name>``, and ``x`` of the only one."""
    names = list(graph.inputs())
    return {n: ("x", f"x/{n}") if len(names) == 1 else (f"x/{n}",) for n in names}


def found_under(graph: ir.Graph, present: Container[str]) -> dict[str, str | None]:
    """Input name -> the first of its names that is present; None where none is."""
    return {
        name: next((n for n in called if n in present), None)
        for name, called in names_of(graph).items()
    }


def held_otherwise(graph: ir.Graph, samples: Samples) -> tuple[str, ...]:
    """A line for each Input that could hold one value and was given a sequence, which is taken.

    Args:
        graph: what is run.
        samples: what on; what stands still over time is a view of one step.
    """
    return tuple(
        f"{name!r} holds one value for {node.hold} steps; here it is given a sequence of "
        f"{samples.steps}, which is taken as it is"
        for name, node in graph.inputs().items()
        if node.hold is not None and samples.inputs[name].strides[0]
    )


def _warn_of_single_steps(graph: ir.Graph, inputs: dict[str, Array], where: dict[str, str]) -> None:
    """Warn of what is likely a value with an axis of time too many: it is seen once, not held."""
    for name, node in graph.inputs().items():
        moving = len(inputs[name]) == 1 and inputs[name].strides[0]
        if node.hold is not None and node.hold > 1 and moving:
            warnings.warn(
                f"{where[name]} is a sequence of one step, and input {name!r} holds one value for "
                f"{node.hold} steps; it runs for one step. To have it held, save it without the "
                "axis of time (x[0]); steps=1 (--steps 1) says that one step is meant",
                stacklevel=4,
            )


def _over_time(
    arrays: dict[str, Array],
    where: dict[str, str],
    graph: ir.Graph,
    steps: int | None,
    stated: Callable[[], Array | None],
) -> dict[str, Array]:
    """All inputs at every step (T, N, *shape); ``stated`` gives how many steps a file says."""
    shapes = {name: tuple(node.shape) for name, node in graph.inputs().items()}
    moving = {name: _has_time(array, shapes[name], where[name]) for name, array in arrays.items()}
    if steps is None and not any(moving.values()):
        steps = _stated_steps(stated(), graph)
    length = _length({where[n]: a for n, a in arrays.items() if moving[n]}, steps)
    return {
        name: array if moving[name] else np.broadcast_to(array, (length, *array.shape))
        for name, array in arrays.items()
    }


# The file ------------------------------------------------------------------------------------


@contextlib.contextmanager
def _opened(path: str | os.PathLike[str]) -> Iterator[np.lib.npyio.NpzFile]:
    if not os.path.exists(path):
        raise FileNotFoundError(f"there is no file {os.fspath(path)!r}")
    with contextlib.ExitStack() as stack:
        try:
            file = stack.enter_context(opened_npz(path)) if os.path.isfile(path) else None
        except InputError:
            raise
        except UNREADABLE:
            file = None
        if isinstance(file, np.lib.npyio.NpzFile):
            yield file
            return
    found, remedy = found_instead(path)
    if found != HDF5_FILE:
        remedy = "Write it with np.savez(path, x=..., y=...)."
    found = "one array without a name" if file is not None else f"not an .npz file, but {found}"
    raise InputError(Problem(found, "named arrays as np.savez writes them", remedy, str(path)))


def _read(file: Any, key: str) -> Array:
    """One array of the file, whatever its kind."""
    where = f"array {key!r}"
    try:
        array = file[key]
    except MemoryError:
        raise
    except Exception as cause:  # zlib, zipfile and NumPy each have errors of their own
        if isinstance(cause, ValueError) and "Object arrays" in str(cause):
            problem = Problem("Python objects", "numbers", "Convert it with np.asarray.", where)
        else:
            problem = Problem(f"damaged ({cause})", remedy="Write the file again.", where=where)
        raise InputError(problem) from cause
    if not isinstance(array, np.ndarray):
        raise InputError(Problem("not an array", "an array as np.savez writes it", where=where))
    return array


def _numbers(file: Any, key: str, allow_nonfinite: bool) -> Array:
    return _checked(_read(file, key), f"array {key!r}", allow_nonfinite)


def _checked(array: Array, where: str, allow_nonfinite: bool) -> Array:
    if array.dtype.kind not in "biuf":
        raise InputError(Problem(f"dtype {array.dtype}", "real numbers", where=where))
    if array.dtype.kind == "f" and not allow_nonfinite and not np.isfinite(array).all():
        bad = int((~np.isfinite(array)).sum())
        raise InputError(
            Problem(
                f"{bad} of {array.size} values are NaN or infinite",
                "finite numbers",
                "Pass allow_nonfinite=True (--allow-nonfinite) to run on them all the same.",
                where,
            )
        )
    return array


def _input_keys(file: Any, graph: ir.Graph, where: str) -> dict[str, str]:
    """Input name -> the name of its array in the file."""
    shapes = {name: tuple(node.shape) for name, node in graph.inputs().items()}
    single, called = len(shapes) == 1, names_of(graph)
    keys: dict[str, str] = {}
    missing = []
    for name, key in found_under(graph, file.files).items():
        if key is None:
            missing.append(name)
        else:
            keys[name] = key
    if not missing:
        return keys
    found = ", ".join(map(repr, file.files)) or "no arrays"
    others = [key for key in file.files if key not in (*LABEL_NAMES, "steps")]
    remedy = f"Save {others[0]!r} under that name." if single and len(others) == 1 else ""
    raise InputError(
        [
            Problem(
                f"no array {wanted!r} among {found}",
                f"{_form('N', shapes[name])}, or a sequence {_form('T', 'N', shapes[name])}",
                remedy,
                where,
            )
            for name in missing
            for wanted in called[name][:1]
        ]
    )


# Shapes --------------------------------------------------------------------------------------


def _has_time(array: Array, shape: Shape, where: str) -> bool:
    """Whether an input is a sequence (T, N, *shape), and not (N, *shape)."""
    lead = array.ndim - len(shape)
    if lead in (1, 2) and array.shape[lead:] == shape:
        return lead == 2
    raise InputError(
        Problem(
            f"shape {array.shape}",
            f"{_form('N', shape)}, or a sequence {_form('T', 'N', shape)}",
            "Add the axis of samples with x[None]." if array.shape == shape else "",
            where,
        )
    )


def _form(*parts: str | Shape) -> str:
    """('N', (1, 8)) as '(N, 1, 8)'."""
    sizes = [[part] if isinstance(part, str) else map(str, part) for part in parts]
    return f"({', '.join(size for part in sizes for size in part)})"


def _length(sequences: dict[str, Array], steps: int | None) -> int:
    """T, on which all sequences and ``steps`` must agree."""
    lengths = {key: len(array) for key, array in sequences.items()}
    if steps is not None:
        lengths["steps"] = steps
    if len(set(lengths.values())) > 1:
        raise InputError(
            Problem(
                "different numbers of steps: "
                + ", ".join(f"{length} in {who}" for who, length in lengths.items()),
                "the same in all",
                "Only inputs without a time axis are shown as often as 'steps' says: leave it out, "
                "or cut the sequence.",
            )
        )
    length = next(iter(lengths.values()))
    if length < 1:
        raise InputError(Problem(f"{length} steps", "at least 1"))
    return length


def _count(counts: dict[str, int]) -> int:
    """N, on which all inputs must agree."""
    if len(set(counts.values())) > 1:
        each = ", ".join(f"{count} in {key!r}" for key, count in counts.items())
        raise InputError(Problem(f"different numbers of samples: {each}", "the same in all"))
    count = next(iter(counts.values()))
    if count < 1:
        raise InputError(Problem("no samples", "at least 1"))
    return count


# Steps and labels ------------------------------------------------------------------------------


def _stated_steps(stated: Array | None, graph: ir.Graph) -> int:
    """How many steps a file, or else the graph's Inputs or its metadata, ask for."""
    if stated is not None:
        return _whole(stated, "array 'steps'")
    held = {name: node.hold for name, node in graph.inputs().items() if node.hold is not None}
    if held:
        return how_many_steps({}, held, None)
    if "steps" in graph.metadata:
        return _whole(np.asarray(graph.metadata["steps"]), "metadata 'steps' of the graph")
    raise InputError(
        Problem(
            "the input has no time axis, and nothing says for how many steps to show it",
            "a number of steps",
            "Pass steps=... (--steps N), or save a number 'steps' beside x.",
        )
    )


def _whole(array: Array, where: str) -> int:
    if array.size != 1 or array.dtype.kind not in "iu" or array.item() < 1:
        raise InputError(Problem(show(array), "one integer of at least 1", where=where))
    return int(array.item())


def _labels(file: Any, key: str) -> Array | None:
    """The labels, or None where the array cannot be labels."""
    labels = _read(file, key)
    if labels.ndim == 1 and labels.dtype.kind in "iu":
        return labels
    warnings.warn(
        f"array {key!r} is no list of labels, so accuracy is not told: found "
        f"{labels.dtype} of shape {labels.shape}, expected integers of shape (N,)",
        stacklevel=3,
    )
    return None
