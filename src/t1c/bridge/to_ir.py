"""A PyTorch model as a graph."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import nn
from torch.nn.parameter import is_lazy

from t1c import ir
from t1c.ir.errors import NodeError, Problem, T1CError, UnsupportedError

from . import frameworks
from .executor import GraphExecutor
from .modules.exporting import Fragment
from .own_graph import own_graph
from .tracing.assemble import Restate, spiking_affine
from .tracing.nesting import nested
from .tracing.notes import tell
from .tracing.proof import prove
from .tracing.trace import Traced, looked_through, traced
from .tracing.where import placed, raised_at
from .verify import VerificationError

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
    verify: Any = True,
) -> ir.Graph:
    """The graph that computes what a model computes, or the reason why there is none.

    At any number of steps, at any batch size, from rest, for any input. The model is run in eval
    mode on numbers of our own, twice, with other numbers of steps and samples than the sample's,
    and is left as it was: a model that takes single steps is called several times, one that takes
    sequences on whole sequences. Then model and graph are run side by side (the proof).

    Names are module paths; a module that is used twice gives two nodes, the second with the note
    ``copy_of``. States that the model takes and returns are no inputs and outputs of the graph.

    Args:
        model: what to export. A ``GraphExecutor`` gives back its own graph, with its parameters as
            they are now.
        sample: a tensor with a batch dimension (B, *shape), or for a model of whole sequences with
            time too, wherever the model wants it. A tuple or a dict of tensors for several
            arguments.
        custom_map: module type -> function that makes its node, or one function ``module -> node
            or None``; it wins over everything.
        spiking: make SpikingAffine of Linear layers, with the three options that follow.
        spike_mode: 'binary', 'graded' or 'rate'.
        weight_bits: 1 to 32.
        accumulator_bits: at least weight_bits, at most 64.
        verify: True: prove that model and graph give the same; False: leave the proof out; inputs
            (T, B, *shape): prove it on these too. What differs in the model's own precision is
            run once more in float64, where it must not.

    Raises:
        UnsupportedError: something between input and output has no primitive, the values of
            tensors are read, or steps differ. It names the module and the line of the model.
        NodeError, GraphError: a parameter or shape is not valid in a graph.
        VerificationError: model and graph do not agree.

    Example:
        >>> model = nn.Sequential(nn.Linear(4, 3), nn.ReLU())
        >>> list(to_ir(model, torch.zeros(1, 4)).nodes)
        ['input', '0', '1', 'output']
    """
    exporter = T1CExporter(spiking, spike_mode, weight_bits, accumulator_bits)
    return exporter.export(model, sample, custom_map, verify=verify)


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
        self,
        model: nn.Module,
        sample: Any,
        custom_map: ModuleMap | None = None,
        *,
        verify: Any = True,
    ) -> ir.Graph:
        """The graph of ``model``; arguments and errors as for ``to_ir``."""
        restate: Restate = spiking_affine(self.options) if self.spiking else lambda node: node
        frameworks.load()
        model = looked_through(model)
        _refuse_without_values(model)
        convert = _converter(custom_map, model)
        if isinstance(model, GraphExecutor):
            graph = own_graph(model, sample, convert, restate)
            tell(model, graph, stacklevel=4)
            return graph
        try:
            found = traced(model, sample, convert, restate)
            tell(model, found.graph, stacklevel=4)
            more = None if verify is True else verify
            if verify is not False and not _proven(model, found, more):
                found = traced(model, sample, convert, restate, recognising=False)
                prove(model, found, more)
        except T1CError as error:
            raise placed(error, model) from error.__cause__
        except (Warning, MemoryError):
            raise
        except Exception as error:
            raise UnsupportedError(
                Problem(
                    f"it cannot be told what the model does ({type(error).__name__}: {error})",
                    "a model whose steps and axes can be followed",
                    "Please report it: the exporter should have said why.",
                    where=raised_at(error, model)[0],
                )
            ) from error
        return nested(found.graph)


def _proven(model: nn.Module, found: Traced, more: Any) -> bool:
    """Prove a graph; False if it parts from the model where neurons were recognised.

    Raises:
        VerificationError: it parts from the model, and says just what was written.
    """
    try:
        prove(model, found, more)
    except VerificationError:
        if not found.recognised:
            raise
        return False
    return True


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


def _converter(
    custom_map: ModuleMap | None, model: nn.Module
) -> Callable[[nn.Module], ir.Node | Fragment | None]:
    """The user's map as a function that checks what it returns."""
    paths = {id(module): path for path, module in model.named_modules()}

    def refused(module: nn.Module, found: str) -> NodeError:
        kind, path = type(module).__name__, paths.get(id(module))
        where = f"module {path!r} ({kind})" if path else f"module of type {kind}"
        return NodeError(Problem(f"custom_map {found}", "a node of t1c.ir", where=where))

    def made(function: Convert, module: nn.Module) -> Any:
        try:
            return function(module)
        except Exception as error:
            raise refused(module, f"raises {type(error).__name__}: {error}") from error

    def convert(module: nn.Module) -> ir.Node | None:
        if custom_map is None:
            return None
        if isinstance(custom_map, Mapping):
            found = next((c for c in type(module).__mro__ if c in custom_map), None)
            node: Any = made(custom_map[found], module) if found is not None else None
            needed = found is not None
        else:
            node, needed = made(custom_map, module), False
        if isinstance(node, ir.Node):
            return node
        if node is None and not needed:
            return None
        raise refused(
            module, "returned None" if node is None else f"returned a {type(node).__name__}"
        )

    return convert
