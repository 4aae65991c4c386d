"""What a node remembers of the NIR node it came from, so that export gives back the same.

Most of NIR follows from the node and is not kept. What does not is noted in
``node.metadata['nir']``, and only that:

``fields``    values that export would not compute to the last bit, such as a tau in double
              precision, for (tau / dt) * dt need not be tau
``dtypes``    types of values that it would compute, in another precision
``absent``    fields that were not there
``layout``    'own' where parameters are not written out for every neuron
``settled``   the shape to which a declared one in ``fields`` belonged
``metadata``  scalars whose type a ``.t1c`` file does not keep
``added``     the node was not in NIR, which in old versions had no Inputs and Outputs
``stamp``     the node held notes of t1c's own export

A noted value is written again only as long as the node still says what it became: a tau that was
trained since is exported as trained.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from t1c import ir
from t1c.ir.errors import NodeError
from t1c.ir.metadata import Metadata, clean_metadata
from t1c.ir.primitives.neuron import parameter_shape
from t1c.ir.shapes import as_shape

from .conventions import KEY, Conventions
from .crossings import Parameter
from .firing import firing_options, v_reset_of
from .primitives import PRIMITIVES, Entry, declared_shape
from .raw import NirNode, same


def take_notes(node: ir.Node, raw: NirNode, c: Conventions) -> Metadata:
    """What must be remembered of ``raw``, from which ``node`` was made."""
    notes: Metadata = {}
    entry = PRIMITIVES[raw.type]
    full = _input_shape(node)
    shapes = [np.shape(raw.fields[f.name]) for f in _parameters(entry) if f.name in raw.fields]
    if any(shape != full for shape in shapes):
        notes["layout"] = "own"
    fields = _computed(node, c, own="layout" in notes)
    for name, value in raw.fields.items():
        computed = fields.get(name)
        if name in fields and same(computed, value):
            continue
        if isinstance(computed, np.ndarray) and same(computed.astype(_dtype(value)), value):
            notes.setdefault("dtypes", {})[name] = str(_dtype(value))
        else:
            notes.setdefault("fields", {})[name] = _packed(value)
    absent = [name for name in fields if name not in raw.fields]
    if absent:
        notes["absent"] = absent
    if entry.shape in notes.get("fields", {}):
        notes["settled"] = list(_settled(node, raw.type))
    return notes


def nir_fields(node: ir.Node, c: Conventions, *, complete: bool = False) -> dict[str, Any]:
    """The fields of the NIR node that ``node`` becomes, or became from.

    With ``complete``, a shape that was not declared is.
    """
    notes = notes_of(node)
    entry = PRIMITIVES[node.primitive]
    fields = _computed(node, c, own=notes.get("layout") == "own")
    for name, dtype in dict(notes.get("dtypes", {})).items():
        if name in fields:
            fields[name] = np.asarray(fields[name]).astype(dtype)
    for name in notes.get("absent", ()):
        without = {n: v for n, v in fields.items() if n != name}
        drop = not complete if name == entry.shape else _still(node, entry, name, without, c)
        if name in fields and drop:
            fields = without
    settled = tuple(notes.get("settled", ())) == _settled(node, node.primitive)
    for name, packed in dict(notes.get("fields", {})).items():
        value = _unpacked(packed)
        kept = (
            settled
            if name == entry.shape
            else _still(node, entry, name, {**fields, name: value}, c)
        )
        if kept:
            fields[name] = value
    return fields


def notes_of(node: ir.Node) -> Mapping[str, Any]:
    """What the node remembers of NIR, if anything."""
    notes = node.metadata.get(KEY)
    return notes if isinstance(notes, Mapping) else {}


def keep_metadata(given: Mapping[str, Any]) -> tuple[Metadata, Metadata]:
    """Metadata from NIR as a node holds it, and what of it must be noted.

    Raises:
        NodeError: an entry is of a kind that no file keeps, or has the name that notes have.
    """
    metadata = clean_metadata({k: _bare(v) for k, v in given.items()})
    return metadata, _lost_types(given)


def give_metadata(node: ir.Node) -> Metadata:
    """The metadata of a node as NIR had it."""
    metadata = {name: value for name, value in node.metadata.items() if name != KEY}
    return _with_types(metadata, notes_of(node).get("metadata", {}))


def _computed(node: ir.Node, c: Conventions, own: bool) -> dict[str, Any]:
    """What NIR's fields are when nothing is remembered."""
    entry = PRIMITIVES[node.primitive]
    full = _input_shape(node)
    fields: dict[str, Any] = {}
    for field in entry.fields:
        value = field.give(node, c)
        if isinstance(field, Parameter) and not own:
            laid = value.reshape(parameter_shape(value.shape, full))
            value = np.ascontiguousarray(np.broadcast_to(laid, full))
        fields[field.name] = value
    if entry.fires and "v_threshold" in fields:
        v_reset = np.asarray(v_reset_of(node, fields["v_threshold"]))
        if not own:
            laid = v_reset.reshape(parameter_shape(v_reset.shape, full))
            v_reset = np.ascontiguousarray(np.broadcast_to(laid, full))
        fields["v_reset"] = v_reset
    if entry.shape:
        fields[entry.shape] = declared_shape(
            node.primitive, full, as_shape((node.output_type or {}).get("output")) or ()
        )
    return fields


def _still(
    node: ir.Node, entry: Entry, name: str, fields: Mapping[str, Any], c: Conventions
) -> bool:
    """Whether these fields of NIR, read again, give what the node says of ``name`` now."""
    try:
        if name == "v_reset":
            options = firing_options(node.primitive, fields, c)
            wanted = options.get("v_reset")
            now = getattr(node, "v_reset", None)
        else:
            (field,) = (f for f in entry.fields if f.name == name)
            wanted = field.take(fields, c, node.primitive)
            now = getattr(node, name)
        if wanted is None or now is None:
            return wanted is now
        wanted = node.kinds[name].convert(wanted)
    except (NodeError, ValueError):
        return False
    if isinstance(now, np.ndarray):
        # Parameters come back from an engine in its own precision.
        return now.shape == wanted.shape and bool((wanted.astype(now.dtype) == now).all())
    return bool(wanted == now)


def _parameters(entry: Entry) -> list[Parameter]:
    return [field for field in entry.fields if isinstance(field, Parameter)]


def _input_shape(node: ir.Node) -> tuple[int, ...]:
    return as_shape((node.input_type or {}).get("input")) or ()


def _settled(node: ir.Node, kind: str) -> tuple[int, ...]:
    port, types = ("output", node.output_type) if kind == "Output" else ("input", node.input_type)
    return as_shape((types or {}).get(port)) or ()


def _dtype(value: Any) -> np.dtype[Any]:
    return np.asarray(value).dtype


def _packed(value: Any) -> Any:
    """A value as metadata keeps it: a scalar as an array of one, so that its type survives."""
    array = np.asarray(value)
    return {"scalar": array.reshape(1)} if array.ndim == 0 else array


def _unpacked(packed: Any) -> Any:
    if isinstance(packed, Mapping):
        return np.asarray(packed["scalar"]).reshape(())[()]
    return np.asarray(packed)


def _bare(value: Any) -> Any:
    """Scalars as Python's, which is what a .t1c file gives back."""
    if isinstance(value, Mapping):
        return {key: _bare(entry) for key, entry in value.items()}
    if isinstance(value, np.ndarray) and value.ndim == 0:
        value = value[()]
    return value.item() if isinstance(value, np.generic) else value


def _lost_types(given: Mapping[str, Any]) -> Metadata:
    """The scalars, in the same nesting, whose type is not one that Python's numbers have."""
    lost: Metadata = {}
    for name, value in given.items():
        if isinstance(value, Mapping):
            inner = _lost_types(value)
            if inner:
                lost[name] = inner
        elif isinstance(value, np.ndarray | np.generic) and not same(value, _bare(value)):
            lost[name] = np.asarray(value).reshape(1)
    return lost


def _with_types(metadata: Mapping[str, Any], lost: Any) -> Metadata:
    """The metadata with its lost types back, where the values are still the same."""
    restored = dict(metadata)
    for name, kept in (lost if isinstance(lost, Mapping) else {}).items():
        value = restored.get(name)
        if isinstance(kept, Mapping):
            if isinstance(value, Mapping):
                restored[name] = _with_types(value, kept)
        elif value is not None:
            scalar = np.asarray(kept).reshape(-1)[0]
            if scalar.item() == value:
                restored[name] = scalar
    return restored
