"""A PyTorch model as a graph."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from t1c import ir
from t1c.ir.errors import InputError, NodeError, Problem, UnsupportedError

from . import frameworks
from .assemble import Assembly, Restate, spiking_affine
from .executor import GraphExecutor
from .exporting import Fragment
from .fold import Fold
from .over_time import Layout, batch_of, layout_of
from .own_graph import own_graph
from .preserve import preserved
from .record import Entry, Sent, StateOf, Steps, Value, as_data, tensors_in
from .trace import Trace, recording

Convert = Callable[[Any], ir.Node | None]
ModuleMap = Convert | Mapping[type[nn.Module], Convert]


def to_ir(
    model: nn.Module,
    sample: Any,
    custom_map: ModuleMap | None = None,
    spiking: bool = False,
    spike_mode: str = "binary",
    weight_bits: int = 8,
    accumulator_bits: int = 16,
    *,
    verify: Any = None,
) -> ir.Graph:
    """The graph that a model is, or the reason why it is none.

    The model runs once on the sample, in eval mode, and is left as it was. Edges follow what
    happened to the tensors. A ``forward`` that loops over time gives the graph of one step. Names
    are module paths; a module that is used twice gives two nodes, the second with the note
    ``copy_of``. States that the model takes and returns are no inputs and outputs of the graph.

    Args:
        model: what to export. A ``GraphExecutor`` gives back its own graph, with its parameters as
            they are now.
        sample: a tensor with a batch dimension (B, *shape), or (T, B, *shape) for a model that
            indexes time itself; whatever its modules take, where these work on whole sequences
            (SpikingJelly's step_mode='m', Norse's LIF, sinabs's layers). A tuple or a dict of
            tensors for several arguments.
        custom_map: module type -> function that makes its node, or one function ``module -> node
            or None``; it wins over everything.
        spiking: make SpikingAffine of Linear layers, with the three options that follow.
        spike_mode: 'binary', 'graded' or 'rate'.
        weight_bits: 1 to 32.
        accumulator_bits: at least weight_bits, at most 64.
        verify: inputs (T, B, *shape) on which model and graph must agree, up to spikes whose
            membrane lies within rounding of the threshold.

    Raises:
        UnsupportedError: something between input and output has no primitive, the values of
            tensors are read, or the steps of a loop differ. It names the line of the model.
        NodeError, GraphError: a parameter or shape is not valid in a graph.
        VerificationError: model and graph do not agree on ``verify``.

    Example:
        >>> model = nn.Sequential(nn.Linear(4, 3), nn.ReLU())
        >>> list(to_ir(model, torch.zeros(1, 4)).nodes)
        ['input', '0', '1', 'output']
    """
    exporter = T1CExporter(spiking, spike_mode, weight_bits, accumulator_bits)
    graph = exporter.export(model, sample, custom_map)
    if verify is not None:
        from .verify import verify as compare

        compare(model, graph, verify).raise_if_different(allow_rounding=True)
    return graph


torch_to_ir = to_ir


class T1CExporter:
    """Exports models with one set of options; see ``to_ir``.

    Args:
        spiking: make SpikingAffine of Linear layers.
        spike_mode: 'binary', 'graded' or 'rate'.
        weight_bits: 1 to 32.
        accumulator_bits: at least weight_bits, at most 64.

    Example:
        >>> exporter = T1CExporter(spiking=True, weight_bits=4)
        >>> exporter.export(nn.Linear(4, 3), torch.zeros(1, 4)).nodes["linear"].weight_bits
        4
    """

    def __init__(
        self,
        spiking: bool = False,
        spike_mode: str = "binary",
        weight_bits: int = 8,
        accumulator_bits: int = 16,
    ) -> None:
        self.spiking = spiking
        self.options = {
            "spike_mode": spike_mode,
            "weight_bits": weight_bits,
            "accumulator_bits": accumulator_bits,
        }

    def export(
        self, model: nn.Module, sample: Any, custom_map: ModuleMap | None = None
    ) -> ir.Graph:
        """The graph of ``model``; arguments and errors as for ``to_ir``."""
        restate: Restate = spiking_affine(self.options) if self.spiking else lambda node: node
        frameworks.load()
        _refuse_without_values(model)
        convert = _converter(custom_map)
        if isinstance(model, GraphExecutor):
            return own_graph(model, sample, convert, restate)
        args, kwargs = _arguments(model, sample)
        layout = layout_of(model)
        if layout is not None:
            args, kwargs = (
                {n: _first_step(t, layout) for n, t in p.items()} for p in (args, kwargs)
            )
        # Copies: a model may work on its input in place.
        args, kwargs = ({n: _copied(t) for n, t in part.items()} for part in (args, kwargs))
        given = [(n, t) for n, t in [*args.items(), *kwargs.items()] if isinstance(t, Tensor)]
        trace = Trace(model, convert)
        for number, (_, tensor) in enumerate(given):
            trace.enter(number, tensor)
        with preserved(model), recording(trace):
            result = model(*args.values(), **kwargs)
        found = _without_echoes(_outputs(trace, result))
        returned = [(name, t.shape, value) for name, t, value in found]
        outputs = [out for out in returned if not _is_state(out[2], trace)]
        if not outputs:
            given_out = [(name, shape, _membrane(value)) for name, shape, value in returned]
            outputs = [out for out in given_out if not _is_state(out[2], trace)]
        if not outputs:
            raise UnsupportedError(
                Problem(
                    "the model returns nothing but states",
                    "at least one output of a module or an operation",
                    "Return the spikes; a membrane is a value only with reset_mechanism='none'.",
                    where=type(model).__name__,
                )
            )
        fold = Fold(trace.calls, [value for *_, value in outputs])
        single = len(outputs) == 1
        named = [
            ("output" if single else name, tuple(shape[2 if isinstance(value, Steps) else 1 :]))
            for name, shape, value in outputs
        ]
        graph = Assembly(fold, [name for name, _ in given], named, restate).graph()
        if layout is not None and custom_map is None:
            _check_sequence(model, graph, sample, layout)
        return graph


def _copied(item: Any) -> Any:
    if not isinstance(item, Tensor):
        return item
    with torch.inference_mode(False):
        return item.detach().clone()


def _refuse_without_values(model: nn.Module) -> None:
    """Refuse lazy modules, which a first run would change for good, and weights on no device."""
    for name, held in (*model.named_parameters(), *model.named_buffers()):
        if is_lazy(held) or held.is_meta:
            raise UnsupportedError(
                Problem(
                    f"{name!r} has no values yet",
                    "a model whose parameters are there",
                    "Run a lazy model once; load the weights of one on the meta device.",
                    where=type(model).__name__,
                )
            )


def _first_step(item: Any, layout: Layout) -> Any:
    return layout.first_step(item) if isinstance(item, Tensor) else item


def _check_sequence(model: nn.Module, graph: ir.Graph, sample: Any, layout: Layout) -> None:
    """Refuse a model of whole sequences that does more than the same in every step.

    Its steps were traced one at a time, so what it does between the modules that know of time, such
    as flattening two dimensions of a sequence, may have meant something else there.
    """
    from .verify import verify

    generator = torch.Generator().manual_seed(0)

    def like(item: Tensor) -> Tensor:
        # Numbers of our own: a sample of zeros would prove nothing.
        drawn = torch.rand(item.shape, generator=generator, dtype=torch.float64)
        packed = (4 * drawn - 1).to(item)
        if layout is not Layout.MERGED:
            return layout.unpack(packed, 0, 0)
        batch = batch_of(model, len(item))
        return layout.unpack(packed, len(item) // batch, batch)

    given = list(tensors_in(sample))
    xs = like(given[0]) if len(given) == 1 else tuple(like(item) for item in given)
    try:
        report = verify(model, graph, xs, a_kind="sequence", nodes=False)
    except Exception as error:
        why = str(error).splitlines()[0].split("; expected")[0]
        why = why.replace("from a and", "from the model and").replace("from b", "from its steps")
        found = f"a whole sequence in another form than its single steps: {why}"
    else:
        if report or report.within_rounding:
            return
        n, of, by = report.outputs.differing, report.outputs.compared, report.outputs.largest
        found = (
            "something else over a sequence than in its single steps: "
            f"{n} of {of} values differ, by up to {by:.3g}"
        )
    raise UnsupportedError(
        Problem(
            f"the model gives {found}",
            "a model that does the same in every step, and nothing across steps",
            "Leave sums and means over time outside of the model, and reshape with modules.",
            where=type(model).__name__,
        )
    )


def _converter(custom_map: ModuleMap | None) -> Callable[[nn.Module], ir.Node | Fragment | None]:
    """The user's map as a function that checks what it returns."""

    def convert(module: nn.Module) -> ir.Node | None:
        if custom_map is None:
            return None
        if isinstance(custom_map, Mapping):
            found = next((c for c in type(module).__mro__ if c in custom_map), None)
            node: Any = custom_map[found](module) if found is not None else None
            needed = found is not None
        else:
            node, needed = custom_map(module), False
        if isinstance(node, ir.Node):
            return node
        if node is None and not needed:
            return None
        raise NodeError(
            Problem(
                f"custom_map returned a {type(node).__name__}",
                "a node of t1c.ir",
                where=f"module of type {type(module).__name__}",
            )
        )

    return convert


def _arguments(model: nn.Module, sample: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """The arguments of the model by name: positional and keyword.

    What ``forward`` needs beyond the sample is None: a state that starts at rest.
    """
    # What torch.jit compiled has no signature; it is refused when it is called.
    scripted = isinstance(model, torch.jit.ScriptModule)
    parameters = () if scripted else inspect.signature(model.forward).parameters.values()
    names = [p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    needed = [p.name for p in parameters if p.name in names and p.default is inspect._empty]
    if isinstance(sample, Mapping):
        rest = {name: None for name in needed if name not in sample}
        return {}, {**sample, **rest}
    given = list(sample) if isinstance(sample, tuple | list) else [sample]
    if not any(isinstance(item, Tensor) for item in given):
        raise InputError(
            Problem(f"a sample of type {type(sample).__name__}", "a tensor with a batch dimension")
        )
    names += [f"input_{i + 1}" for i in range(len(names), len(given))]
    args = dict(zip(names, given, strict=False))
    return args | {name: None for name in needed if name not in args}, {}


def _outputs(trace: Trace, result: Any, name: str = "output") -> list[tuple[str, Tensor, Value]]:
    """What the model returned: a name, the tensor and its value, depth first."""
    if isinstance(result, Tensor):
        return [(name, result, trace.value(result))]
    if isinstance(result, Mapping):
        return [out for key, part in result.items() for out in _outputs(trace, part, str(key))]
    if not isinstance(result, tuple | list):
        return []
    steps = _listed_steps(trace, result)
    if steps is not None:
        return [(name, torch.stack(list(result)), steps)]
    found = [_outputs(trace, part, f"{name}_{i + 1}") for i, part in enumerate(result)]
    return [out for part in found for out in part]


def _without_echoes(outputs: list[tuple[str, Tensor, Value]]) -> list[tuple[str, Tensor, Value]]:
    """The outputs less those that are an integrator's output once more, as its state."""
    kept, seen = [], set[int]()
    for name, tensor, value in outputs:
        echo = isinstance(value, Sent) and value.call.echoes and id(tensor) in seen
        seen.add(id(tensor))
        if not echo:
            kept.append((name, tensor, value))
    return kept


def _listed_steps(trace: Trace, result: Any) -> Steps | None:
    """A list with what one call gave at each step, as if it were stacked."""
    if not isinstance(result, list) or not all(isinstance(part, Tensor) for part in result):
        return None
    values = [trace.value(part) for part in result]
    count = 1 + max((call.step for call in trace.calls), default=0)
    if count < 2 or len(values) != count:
        return None
    kinds = {
        (type(v), v.call.name, v.call.module) if isinstance(v, Sent | StateOf) else id(v)
        for v in values
    }
    return Steps(tuple(values)) if len(kinds) == 1 else None


def _membrane(value: Value) -> Value:
    if isinstance(value, Steps):
        return Steps(tuple(as_data(v) for v in value.values))
    return as_data(value)


def _is_state(value: Value, trace: Trace) -> bool:
    if isinstance(value, Steps):
        return all(_is_state(v, trace) for v in value.values)
    if isinstance(value, Entry):
        return value.number in trace.state_inputs
    return isinstance(value, StateOf)
