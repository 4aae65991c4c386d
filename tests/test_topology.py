"""Which edges run back in time: the rule in t1c.ir.topology, and what follows from it."""

import ast
import functools
import re
import time
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given
from hypothesis import strategies as st

from t1c import ir
from t1c.bridge.engine.plan import make_plan
from t1c.ir import topology
from t1c.ir.topology import Topology, feedback_edges

from .examples import examples as many_or_few
from .written_edges import edges_of

examples = functools.partial(many_or_few, suppress_health_check=[HealthCheck.filter_too_much])


# Networks in one line: 'in>A A>B' are edges; in* are Inputs, out* Outputs, lower case is stateless.


def kind_of(name):
    for border in ("in", "out"):
        if name.startswith(border):
            return border
    return "neuron" if name[0].isupper() else "stateless"


def of_kind(kind, names):
    return [name for name in names if kind_of(name) == kind]


def names_in(edges):
    return list(dict.fromkeys(name for edge in edges for name in edge))


def decide(edges, names=None, stated=(), delays=()):
    names = names_in(edges) if names is None else names
    return feedback_edges(
        names,
        edges,
        neurons=of_kind("neuron", names),
        delays=delays,
        inputs=of_kind("in", names),
        outputs=of_kind("out", names),
        stated=stated,
    )


def cycles_of(edges):
    """All simple cycles, each as the set of its edges, by walking every path."""
    after: dict[str, list[str]] = {}
    for source, target in edges:
        after.setdefault(source, []).append(target)
    found = []

    def walk(path):
        for target in after.get(path[-1], ()):
            if target == path[0]:
                found.append(set(zip(path, [*path[1:], target], strict=True)))
            elif target > path[0] and target not in path:
                walk([*path, target])

    for name in names_in(edges):
        walk([name])
    return found


def test_cycles_of_finds_all():
    assert cycles_of(edges_of("A>A A>B B>A B>C C>A")) == [
        {("A", "A")},
        {("A", "B"), ("B", "A")},
        {("A", "B"), ("B", "C"), ("C", "A")},
    ]
    assert cycles_of(edges_of("A>B B>C A>C")) == []


# Known networks ----------------------------------------------------------------------------------

ANSWERS = {
    # name: (edges, those that run back)
    "a neuron onto itself": ("in>A A>A A>out", "A>A"),
    "onto itself through a layer": ("in>A A>w w>A A>out", "A>w"),
    "onto itself through two layers": ("in>f f>A A>w w>n n>f A>out", "A>w"),
    "two populations": ("in>A A>B B>A B>out", "B>A"),
    "two populations, read at the first": ("in>A A>B B>A A>out", "B>A"),
    "two populations with layers between": ("in>f f>A A>g g>B B>h h>f B>out", "B>h"),
    "excitation and inhibition": ("in>E E>E E>I I>E I>I E>out", "E>E I>E I>I"),
    "three in a ring": ("in>A A>B B>C C>A C>out", "C>A"),
    "entered in the middle": ("in>B A>B B>C C>A A>out", "A>B"),
    "entered late by a skip too": ("in>A in>C A>B B>C C>A C>out", "C>A"),
    "a skip inside the loop": ("in>A A>B B>C A>C C>A C>out", "C>A"),
    "a skip around the layers": ("in>A A>f f>s A>s s>B B>A B>out", "B>A"),
    "loops within a loop": ("in>A A>B B>C C>B C>A B>B C>out", "C>B C>A B>B"),
    "feedback to every layer before": (
        "in>A A>B B>C C>D D>C D>B D>A C>B B>A D>out",
        "D>C D>B D>A C>B B>A",
    ),
    "two loops after one another": ("in>A A>B B>A B>C C>D D>C D>out", "B>A D>C"),
    "two loops that share a neuron": ("in>A A>B B>A A>C C>A B>out C>out", "B>A C>A"),
    "two inputs": ("in1>A in2>B A>B B>A B>out", "B>A"),
    "no input, one output": ("A>B B>C C>A C>out in>out", "C>A"),
    "a neuron that nothing reads": ("in>A A>B B>A in>out", "B>A"),
    "predictive coding": ("in>E E>R R>E R>F F>R F>S S>F S>out", "R>E F>R S>F"),
    "shared inhibition": (
        "in>P in>Q in>R P>I Q>I R>I I>P I>Q I>R P>out Q>out R>out",
        "I>P I>Q I>R",
    ),
    "shared inhibition, own ends": (
        "in1>P in2>Q P>I Q>I I>P I>Q P>P Q>Q P>out1 Q>out2",
        "I>P I>Q P>P Q>Q",
    ),
    "shared inhibition through a layer": ("in>P in>Q P>I Q>I I>w w>P w>Q P>out Q>out", "I>w"),
    "inhibition over all layers": (
        "in>A A>B B>C A>I B>I C>I I>A I>B I>C C>out",
        "I>A I>B I>C",
    ),
    "towers that meet, with feedback": ("in>A in>B A>C B>C C>A C>B C>out", "C>A C>B"),
    # Both are entered, and as far from the Output: the one nearer to an Input is the start.
    "entered twice, sooner and later": ("in>A in>N N>B A>B B>A A>out B>out", "B>A"),
    "entered twice, once by what no input reaches": ("in>A S>B A>B B>A A>out B>out", "B>A"),
    "a layer that feeds its neuron and another": ("in>E E>f f>E f>I I>E E>out", "E>f"),
    # Distance counts neurons, not what is stateless on the way.
    "farther from the Output by a neuron": (
        "in>A in>B A>B B>A A>s s>t t>u u>out B>N N>out",
        "A>B",
    ),
    "nearer to the Input by a neuron": (
        "in>N N>A in>s s>t t>u u>B A>B B>A A>out B>out",
        "A>B",
    ),
    # Nothing else tells A and B apart: two neurons run back to A, one to B.
    "fewer run back to it": ("in>A in>B A>B B>A A>C C>A A>out B>out", "A>B C>A"),
}


@pytest.mark.parametrize("name", ANSWERS)
def test_known_networks(name):
    text, back = ANSWERS[name]
    edges = edges_of(text)
    assert sorted(decide(edges)) == sorted(edges_of(back))
    # They come in the order of the edges.
    assert decide(edges) == [e for e in edges if e in edges_of(back)]


@pytest.mark.parametrize("name", ANSWERS)
def test_in_known_networks_every_cycle_costs_exactly_one_step(name):
    edges = edges_of(ANSWERS[name][0])
    back = set(decide(edges))
    cycles = cycles_of(edges)
    assert cycles
    assert [len(cycle & back) for cycle in cycles] == [1] * len(cycles)


def test_an_order_is_asked_of_what_has_a_cycle():
    with pytest.raises(ir.GraphError, match="the cycle A -> B -> A"):
        Topology("AB", [("A", "B"), ("B", "A")]).order()


def test_without_a_cycle_nothing_runs_back():
    assert decide(edges_of("in>A A>B A>C B>D C>D D>out")) == []


def test_entangled_cycles_may_cost_more():
    # P and Q each onto I and J and back: some cycle of four must pay twice.
    edges = edges_of("in>P in>Q P>I P>J Q>I Q>J I>P I>Q J>P J>Q P>out Q>out")
    back = decide(edges)
    assert sorted(back) == edges_of("I>P I>Q J>P J>Q")
    assert sorted(len(cycle & set(back)) for cycle in cycles_of(edges)) == [1, 1, 1, 1, 2, 2]


# Refusals ----------------------------------------------------------------------------------------

SYMMETRIC = {
    "two that drive each other": "in>A in>B A>B B>A A>out B>out",
    "two with their own ends": "in1>A in2>B A>B B>A A>out1 B>out2",
    "a ring entered at opposite ends": "in>A in>C A>B B>C C>D D>A B>out D>out",
    "all to all": "in>A A>B A>C B>A B>C C>A C>B A>out B>out C>out",
    "two pairs": "in>A in>B A>B B>A A>C B>D C>D D>C C>out D>out",
    "no way in": "A>B B>A A>out B>out in>out",
}


def refused(text):
    """What is said of a network that is refused for one reason."""
    with pytest.raises(ir.GraphError) as caught:
        decide(edges_of(text))
    (problem,) = caught.value.problems
    assert problem.where == "graph"
    return problem.found, problem.expected, problem.remedy


def test_a_refusal_says_what_is_expected_and_what_to_do(monkeypatch):
    assert refused("in>A in>B A>B B>A A>out B>out") == (
        "the loop through 'A' and 'B' is symmetric: it could start at any of them, and each choice "
        "delays other edges",
        "a loop whose start can be told from its edges",
        "Say which edges run back, for example feedback=[('B', 'A')].",
    )
    assert refused("in>f f>g g>f g>out") == (
        "the cycle f -> g -> f has neither a neuron nor a Delay",
        "a cycle that passes through one, which gives it its time step",
        "Put a neuron or a Delay into the cycle.",
    )
    monkeypatch.setattr(topology, "MOST_STEPS", 7)
    assert refused("in>A A>B B>A B>out") == (
        "loops so entangled that after 7 steps it is not decided which edges run back",
        "loops of fewer neurons",
        "Say which edges run back, with feedback=[...].",
    )


@pytest.mark.parametrize("name", SYMMETRIC)
def test_symmetric_loops_are_refused_with_an_answer_to_choose(name):
    edges = edges_of(SYMMETRIC[name])
    with pytest.raises(ir.GraphError, match="symmetric") as caught:
        decide(edges)
    offer = re.search(r"feedback=(\[.*\])", str(caught.value))
    assert offer is not None
    offered = ast.literal_eval(offer[1])
    assert set(offered) < set(edges)
    # What is offered is enough, and is followed to the letter.
    assert decide(edges, stated=offered) == [e for e in edges if e in offered]
    assert cycles_of([e for e in edges if e not in offered]) == []


def test_a_ring_is_refused_rather_than_cut_twice():
    with pytest.raises(ir.GraphError, match="'A' and 'C' is symmetric"):
        decide(edges_of(SYMMETRIC["a ring entered at opposite ends"]))


def test_loops_too_entangled_to_be_decided_in_time_are_refused(monkeypatch):
    """Sixty populations, each of which excites the one before it."""
    chain = [f"A{i}" for i in range(60)]
    forth = [("in", "A0"), *pairwise(chain), ("A59", "out")]
    back = [(b, a) for a, b in pairwise(chain)]
    assert decide(forth + back) == back
    monkeypatch.setattr(topology, "MOST_STEPS", 5_000)
    with pytest.raises(ir.GraphError, match=r"so entangled that after 5,000 steps.*feedback="):
        decide(forth + back)
    assert decide(forth + back, stated=back) == back


def test_what_is_stated_is_honoured():
    edges = edges_of("in>A A>B B>A B>C C>B C>out")
    assert decide(edges) == edges_of("B>A C>B")
    assert decide(edges, stated=edges_of("A>B")) == edges_of("A>B C>B")
    # More than is needed is honoured too, and costs what it says.
    assert decide(edges, stated=edges_of("A>B B>A")) == edges_of("A>B B>A C>B")
    # A neuron onto itself says nothing about the loops around it.
    edges = edges_of("in>A in>B A>A A>B B>A B>out")
    assert decide(edges) == edges_of("A>A B>A")
    assert decide(edges, stated=edges_of("A>A")) == edges_of("A>A B>A")


def test_a_cycle_without_a_neuron_is_refused():
    with pytest.raises(ir.GraphError, match="cycle f -> g -> f has neither a neuron nor a Delay"):
        decide(edges_of("in>f f>g g>f g>out"))
    # A neuron elsewhere in the loop does not help; all such cycles are named at once.
    with pytest.raises(ir.GraphError) as caught:
        decide(edges_of("in>A A>f f>g g>f g>A A>h h>h h>out"))
    assert [p.found.split(" has ")[0] for p in caught.value.problems] == [
        "the cycle f -> g -> f",
        "the cycle h -> h",
    ]


def test_a_delay_is_the_delay_of_its_loops():
    edges = edges_of("in>f f>d d>f f>A A>B B>d A>A d>out")
    with pytest.raises(ir.GraphError, match="neither"):
        decide(edges)
    assert decide(edges, delays=["d"]) == edges_of("A>A")
    # What enters a loop through a Delay enters it.
    edges = edges_of("in>d d>A A>B B>A A>out")
    assert decide(edges, delays=["d"]) == edges_of("B>A")


# Whatever the network ----------------------------------------------------------------------------


@st.composite
def networks(draw, neurons=5, stateless=3):
    """Names and edges of a network with loops, in which every stateless cycle is avoided."""
    inner = "ABCDE"[: draw(st.integers(1, neurons), label="neurons")]
    inner += "xyz"[: draw(st.integers(0, stateless), label="stateless")]
    pairs = [(a, b) for a in inner for b in inner if a.isupper() or b.isupper() or a < b]
    edges = draw(st.lists(st.sampled_from(pairs), unique=True, max_size=3 * len(inner)))
    entries = draw(st.lists(st.sampled_from(inner), unique=True, max_size=3), label="entries")
    exits = draw(st.lists(st.sampled_from(inner), unique=True, max_size=3), label="exits")
    edges += [("in", name) for name in entries] + [(name, "out") for name in exits]
    return ["in", *inner, "out"], edges


def answer(names, edges, stated=()):
    """What the rule says, or None if it refuses because of symmetry."""
    try:
        return set(decide(edges, names, stated))
    except ir.GraphError as error:
        if "symmetric" not in str(error):
            raise
        return None


@examples(200)
@given(networks())
def test_every_cycle_is_cut_at_a_neuron_and_nothing_else(network):
    names, edges = network
    back = answer(names, edges)
    assume(back is not None)
    cycles = cycles_of(edges)
    assert all(cycle & back for cycle in cycles)
    assert all(kind_of(source) == "neuron" for source, _ in back)
    assert all(any(edge in cycle for cycle in cycles) for edge in back)
    # The rest has an order.
    forward = [e for e in edges if e not in back]
    order = Topology(names, forward).order()
    assert all(order.index(a) < order.index(b) for a, b in forward)


@examples(200)
@given(networks(), st.data())
def test_names_and_order_do_not_matter(network, data):
    names, edges = network
    assume(cycles_of(edges))
    neurons, others = of_kind("neuron", names), of_kind("stateless", names)
    renamed = dict(zip(neurons, data.draw(st.permutations(neurons)), strict=True))
    renamed |= dict(zip(others, data.draw(st.permutations(others)), strict=True))
    renamed |= {"in": "in", "out": "out"}
    there = [(renamed[a], renamed[b]) for a, b in data.draw(st.permutations(edges))]
    back, other = answer(names, edges), answer(data.draw(st.permutations(names)), there)
    mapped = None if back is None else {(renamed[a], renamed[b]) for a, b in back}
    assert other == mapped


@examples(150)
@given(networks(), st.data())
def test_stating_the_answer_changes_nothing(network, data):
    names, edges = network
    back = answer(names, edges)
    assume(back)
    assert answer(names, edges, stated=back) == back


@examples(150)
@given(st.integers(1, 6), st.integers(0, 4), st.data())
def test_a_simple_ring_is_cut_once_where_it_is_entered(neurons, others, data):
    ring = data.draw(st.permutations("ABCDEF"[:neurons] + "wxyz"[:others]), "ring")
    around = list(zip(ring, [*ring[1:], ring[0]], strict=True))
    entries = data.draw(st.sets(st.sampled_from(ring), min_size=1, max_size=2), "entries")
    exits = data.draw(st.sets(st.sampled_from(ring), min_size=1, max_size=2), "exits")
    ends = [*(("in", e) for e in sorted(entries)), *((e, "out") for e in sorted(exits))]
    back = answer(["in", *ring, "out"], [*ends, *around])
    # From an entry along the ring, the first neuron; the edge that runs back is the last one that
    # leaves a neuron before it.
    possible = set()
    for entry in entries:
        at = ring.index(entry)
        turned = [*ring[at:], *ring[:at]]
        start = ring.index(next(name for name in turned if name.isupper()))
        behind = [*reversed(ring[:start]), *reversed(ring[start:])]
        last = next(name for name in behind if name.isupper())
        possible.add((last, ring[(ring.index(last) + 1) % len(ring)]))
    if back is None:
        assert len(possible) == 2
    else:
        assert len(back) == 1
        assert back <= possible


# The numbers -------------------------------------------------------------------------------------


def graph_of(names, edges, seed, feedback=()):
    """A graph with exact arithmetic: weights on the grid k/256, tau a power of two."""
    rng = np.random.default_rng(seed)

    def quarters(*shape):
        return rng.integers(-8, 9, shape) / 4

    nodes: dict[str, ir.Node] = {}
    for name in sorted(names):  # so that a name has the same parameters wherever it stands
        kind = kind_of(name)
        if kind == "in":
            nodes[name] = ir.Input(shape=(2,))
        elif kind == "out":
            nodes[name] = ir.Output(shape=(2,))
        elif kind == "stateless":
            nodes[name] = ir.Affine(quarters(2, 2), quarters(2))
        else:
            parameters = (np.full(1, 2.0), np.full(1, 2.0), quarters(2), np.abs(quarters(2)) + 0.25)
            nodes[name] = ir.LIF(*parameters, reset="subtract")
    ordered = {name: nodes[name] for name in names}
    return ir.Graph(ordered, edges, allow_cycles=True, feedback=feedback)


def by_recursion(graph, xs):
    """What every node sends at every step, each value asked for when it is needed.

    No order, no state: a value is a function of what feeds it, of the present step or, along an
    edge that runs back, of the one before.
    """
    back, before, known = set(graph.feedback_edges()), graph.topology().before, {}

    def membrane(name, t):
        return np.zeros((1, 2)) if t < 0 else value(name, t)[1][0]

    def value(name, t):
        if t < 0:
            return np.zeros((1, 2)), ()
        if (name, t) not in known:
            node = graph.nodes[name]
            if isinstance(node, ir.Input):
                known[name, t] = xs[t], ()
            else:
                x = np.zeros((1, 2))
                for source in before[name]:
                    x = x + value(source, t - ((source, name) in back))[0]
                state = (membrane(name, t - 1),) if isinstance(node, ir.LIF) else ()
                known[name, t] = node.step(x, state)
        return known[name, t]

    return {name: np.stack([value(name, t)[0] for t in range(len(xs))]) for name in graph.nodes}


@st.composite
def runnable_networks(draw):
    """Networks in which every node is fed and leads to the Output, with the answer of the rule."""
    names, edges = draw(networks(neurons=4, stateless=2))
    fed, feeding = ({edge[i] for edge in edges} for i in (1, 0))
    edges += [("in", name) for name in names[1:-1] if name not in fed and name.islower()]
    edges += [(name, "out") for name in names[1:-1] if name not in feeding]
    topology = Topology(names, edges)
    assume(topology.leading_to(["out"]) == set(names))
    assume(topology.loops())
    assume(answer(names, edges))
    return names, edges


@examples(60)
@given(runnable_networks(), st.data(), st.integers(0, 2**32 - 1))
def test_numbers_follow_from_the_feedback_and_not_from_the_order(network, data, seed):
    names, edges = network
    graph = graph_of(names, edges, seed)
    xs = np.random.default_rng(seed + 1).integers(-4, 9, (6, 1, 2)) / 4
    values = by_recursion(graph, xs)
    out, _ = ir.Reference(graph).run(xs)
    assert out.tolist() == values["out"].tolist()
    shuffled = data.draw(st.permutations(names)), data.draw(st.permutations(edges))
    other = graph_of(*shuffled, seed)
    assert set(other.feedback_edges()) == set(graph.feedback_edges())
    reference = ir.Reference(other)
    assert reference.run(xs)[0].tolist() == out.tolist()
    # Stated, it is the same graph.
    stated = graph_of(names, edges, seed, feedback=graph.feedback_edges())
    assert ir.Reference(stated).run(xs)[0].tolist() == out.tolist()
    # In two parts, with what runs back kept in the state.
    first, state = reference.run(xs[:2])
    second, _ = reference.run(xs[2:], state)
    assert np.concatenate([first, second]).tolist() == out.tolist()


def test_a_loop_over_two_populations_costs_one_step_in_all():
    weight = np.eye(1)
    lif = ir.LIF(*(np.array([p]) for p in (1.0, 1.0, 0.0, 1.0)))
    nodes = {
        "in": ir.Input(shape=(1,)),
        "A": lif,
        "f": ir.Affine(weight, np.zeros(1)),
        "B": lif,
        "g": ir.Affine(weight, np.zeros(1)),
        "out": ir.Output(shape=(1,)),
    }
    edges = edges_of("in>A A>f f>B B>g g>A B>out")
    graph = ir.Graph(nodes, edges, allow_cycles=True)
    assert graph.feedback_edges() == [("B", "g")]
    # One spike goes round and is back after one step, for ever.
    xs = np.zeros((5, 1, 1))
    xs[0] = 1
    assert ir.Reference(graph).run(xs)[0].ravel().tolist() == [1, 1, 1, 1, 1]
    # With two delays stated it comes by at every second step.
    slow = ir.Graph(nodes, edges, allow_cycles=True, feedback=edges_of("A>f B>g"))
    assert ir.Reference(slow).run(xs)[0].ravel().tolist() == [0, 1, 0, 1, 0]


def test_a_recurrent_bias_acts_from_the_first_step():
    nodes = {
        "in": ir.Input(shape=(1,)),
        "A": ir.LIF(*(np.array([p]) for p in (1.0, 1.0, 0.0, 1.0))),
        "f": ir.Affine(-np.eye(1), np.ones(1)),
        "out": ir.Output(shape=(1,)),
    }
    graph = ir.Graph(nodes, edges_of("in>A A>f f>A A>out"), allow_cycles=True)
    out, _ = ir.Reference(graph).run(np.zeros((4, 1, 1)))
    assert out.ravel().tolist() == [1, 0, 1, 0]


# What a graph and a plan refuse ------------------------------------------------------------------


def test_a_graph_refuses_feedback_that_makes_no_sense():
    names, edges = ["in", "A", "B", "f", "out"], edges_of("in>A A>B B>f f>A B>out")
    assert graph_of(names, edges, 0, feedback=[("A", "B")]).feedback_edges() == [("A", "B")]
    for feedback, message in (
        ([("B", "A")], "not an edge of the graph"),
        ([("f", "A")], "it leaves a Affine"),
        ([("B", "out")], "lies on no cycle"),
    ):
        with pytest.raises(ir.GraphError, match=message):
            graph_of(names, edges, 0, feedback=feedback)


@pytest.mark.parametrize("order", ["ABf", "AfB", "BAf", "BfA", "fAB", "fBA"])
@pytest.mark.parametrize("said", ["declared", "by a parameter"])
def test_shapes_in_a_loop_that_nothing_enters_do_not_depend_on_the_order(order, said):
    # A's vector is per channel; alone it could as well be a shape.
    per_channel = ir.LIF(*(np.full(2, p) for p in (2.0, 2.0, 0.0, 1.0)))
    two, nought, full = (
        np.full(1, 2.0),
        np.zeros(1),
        np.ones((2, 3, 4) if said != "declared" else 1),
    )
    declared = {"input": np.array([2, 3, 4])} if said == "declared" else None
    nodes: dict[str, ir.Node] = {
        "A": per_channel,
        "B": ir.LIF(two, two, nought, full, input_type=declared),
        "f": ir.ReLU(features=2),
        "in": ir.Input(shape=(1,)),
        "out": ir.Output(shape=(2, 3, 4)),
        "end": ir.Output(shape=(1,)),
    }
    ordered = {name: nodes[name] for name in [*order, "in", "out", "end"]}
    edges = edges_of("A>f f>B B>A B>out in>end")
    graph = ir.Graph(ordered, edges, allow_cycles=True)
    for name in "ABf":
        assert (graph.nodes[name].output_type or {})["output"].tolist() == [2, 3, 4]


def test_a_graph_with_cycles_asks_to_be_told_that_they_are_meant():
    nodes = graph_of(["in", "A", "f", "out"], edges_of("in>A A>f A>out f>out"), 0).nodes
    with pytest.raises(ir.GraphError, match=r"the cycle A -> f -> A.*allow_cycles=True"):
        ir.Graph(nodes, edges_of("in>A A>f f>A A>out"))
    with pytest.raises(ir.GraphError, match=r"self-loop.*allow_cycles=True"):
        ir.Graph(nodes, edges_of("in>A A>A A>f A>out f>out"))


def test_a_plan_refuses_feedback_that_lies_on_no_cycle():
    names, edges = ["in", "A", "B", "out"], edges_of("in>A A>B B>A B>out")
    assert make_plan(names, edges, ["A", "B"], feedback=[("A", "B")]).remembered == {"A"}
    for edge in (("B", "out"), ("A", "out"), ("no", "node")):
        with pytest.raises(ir.GraphError, match="lies on no cycle"):
            make_plan(names, edges, ["A", "B"], feedback=[("A", "B"), edge])


# Order and parts ---------------------------------------------------------------------------------


@examples(100)
@given(networks())
def test_parts_come_in_order_and_loops_are_those_with_cycles(network):
    names, edges = network
    topology = Topology(names, edges)
    parts = topology.parts()
    assert sorted(name for part in parts for name in part) == sorted(names)
    at = {name: i for i, part in enumerate(parts) for name in part}
    assert all(at[a] <= at[b] for a, b in edges)
    on_cycles = {name for cycle in cycles_of(edges) for edge in cycle for name in edge}
    assert {name for loop in topology.loops() for name in loop} == on_cycles
    inside = {edge for cycle in cycles_of(edges) for edge in cycle}
    assert set(topology.off_cycle(edges)) == set(edges) - inside
    for loop in topology.loops():
        cycle = topology.cycle_in(loop)
        assert cycle[0] == cycle[-1]
        assert len(set(cycle)) == len(cycle) - 1
        assert set(pairwise(cycle)) <= set(edges)
    if on_cycles:
        with pytest.raises(ir.GraphError, match="the cycle"):
            topology.order()
    else:
        order = topology.order()
        assert all(order.index(a) < order.index(b) for a, b in edges)


def test_reachable_and_leading_to():
    topology = Topology("ABCDE", edges_of("A>B B>C C>B D>C"))
    assert topology.reachable("A") == set("ABC")
    assert topology.leading_to("C") == set("ABCD")
    assert topology.reachable("E") == topology.leading_to("E") == {"E"}


# Size --------------------------------------------------------------------------------------------


def quickly(seconds):
    """Fail if the body takes longer, measured in time of this process alone."""

    class Stopwatch:
        def __enter__(self):
            self.start = time.process_time()

        def __exit__(self, *_):
            assert time.process_time() - self.start < seconds

    return Stopwatch()


def test_a_long_chain_is_quick():
    chain = [f"N{i}" for i in range(10_000)]
    edges = [("in", "N0"), *pairwise(chain), ("N9999", "out")]
    with quickly(2):  # takes 0.2 s
        assert decide(edges) == []
        assert Topology(["in", *chain, "out"], edges).order() == ["in", *chain, "out"]


@pytest.mark.parametrize("stateless", [False, True])
def test_a_long_loop_is_quick(stateless):
    ring = ["N0", *(f"{'f' if stateless else 'N'}{i}" for i in range(1, 200))]
    around = list(zip(ring, [*ring[1:], ring[0]], strict=True))
    with quickly(1):  # takes 3 ms
        back = decide([("in", "N0"), *around, ("N0", "out")])
    assert back == [("N0", "f1") if stateless else ("N199", "N0")]


def test_many_loops_within_loops_need_no_recursion():
    chain = [f"N{i}" for i in range(300)]
    forth = list(pairwise(chain))
    back = [(b, a) for a, b in forth]
    with quickly(10):  # takes 0.4 s
        assert decide([("in", "N0"), *forth, *back, ("N299", "out")]) == back


def test_many_equal_towers_are_no_riddle():
    towers = [f"T{i}" for i in range(40)]
    back = [("Head", t) for t in towers]
    edges = [*(("in", t) for t in towers), *((t, "Head") for t in towers), *back, ("Head", "out")]
    with quickly(5):  # takes 0.1 s; trying every order of the towers would take 2**40 steps
        assert decide(edges) == back
