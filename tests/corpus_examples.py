"""A small graph for each primitive and each version of the format that added to it."""

import itertools

from t1c import ir
from t1c.ir.fields import ChoiceKind
from t1c.ir.hdf5_layout import BASE_VERSION, needed_version, numbers

from .exported_examples import branches

LATER = {
    "v_reset": 0.125,
    "reset": "subtract",
    "fires_at": "gt",
    "reset_delay": True,
    "statistics": "sequence",
    "mask": "step",
    "initial": 0.5,
    "hold": 3,
    "final": True,
    "v_min": -0.25,
}
"""Field -> a value that is not its default."""


def wanted():
    """(primitive, version) for each version that brought a primitive, a field or a word of one."""
    found = {}
    for name in ir.list_primitives():
        cls = ir.str_to_node(name)
        if not cls.__module__.startswith("t1c.ir."):
            continue  # a test's own
        born = cls.since or BASE_VERSION
        versions = {born}
        for kind in cls.kinds.values():
            versions.add(kind.since)
            versions |= set(kind.later.values()) if isinstance(kind, ChoiceKind) else set()
        found[name] = [v for v in versions if v and numbers(v) >= numbers(born)]
    found["Graph"] = ["0.1.0"]  # one within another
    return sorted((name, v) for name, versions in found.items() for v in versions)


def changed(node, version):
    """Nodes that take something of a version: with each of its fields and words."""
    for name, kind in node.kinds.items():
        words = [w for w, v in getattr(kind, "later", {}).items() if v == version]
        if kind.since == version and not words:
            words = [LATER[name]] if name in LATER else list(getattr(kind, "words", ()))
        for word in words:
            for more in ({}, {"reset": "subtract"}, {"v_reset": -0.125}):
                given = {name: word, **{k: v for k, v in more.items() if k in node.kinds}}
                try:
                    yield node.replace(**given)
                except (ir.NodeError, ir.GraphError):
                    continue


def alone(node, arriving, leaving):
    """A graph of one node and its borders, which have these shapes."""
    inputs = {f"in{k}": ir.Input(shape) for k, shape in enumerate(arriving)}
    outputs = {f"out{k}": ir.Output(shape) for k, shape in enumerate(leaving)}
    edges = [*((name, "node") for name in inputs), *(("node", name) for name in outputs)]
    return ir.Graph({**inputs, "node": node, **outputs}, edges)


def borders(hold=None, final=False):
    """Nothing but borders, and an Identity that keeps an edge between them."""
    nodes = {"in0": ir.Input((3,), hold=hold), "node": ir.Dropout(3)}
    nodes["out0"] = ir.Output((3,), final=final)
    return ir.Graph(nodes, [("in0", "node"), ("node", "out0")])


def corpus():
    """(primitive, version) -> graph, for all that are wanted."""
    graph, found = branches()
    before = graph.topology().before
    sent = {name: [tuple(s) for s in n.output_type.values()] for name, n in graph.nodes.items()}
    graphs = {
        ("LIF", BASE_VERSION): alone(ir.LIF(4.0, 2.0, 0.125, 0.25), [(2, 8)], [(2, 8)]),
        ("Input", BASE_VERSION): borders(),
        ("Output", BASE_VERSION): borders(),
        ("Input", "0.2.0"): borders(hold=3),
        ("Output", "0.2.0"): borders(final=True),
    }
    for name in [*found, "split"]:
        node = graph.nodes[name]
        shapes = [sent[source][0] for source in before[name]]
        versions = [v for primitive, v in wanted() if primitive == node.primitive]
        for one in itertools.chain([node], *(changed(node, v) for v in versions)):
            try:
                made = alone(one, shapes, sent[name])
            except ir.GraphError:
                continue
            graphs.setdefault((node.primitive, needed_version(made)), made)
    return {key: graphs[key] for key in wanted() if key in graphs}
