"""Where things stand, and what folds, on random graphs."""

import itertools
import re
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from t1c import ir, viz
from t1c.viz import blocks
from t1c.viz.blocks import Block, find_blocks
from t1c.viz.boxes import SMALL_LETTER, frame_title, letters, shortened
from t1c.viz.coordinates import columns
from t1c.viz.layered import arrange, crossings
from t1c.viz.layout import lay_out, opened
from t1c.viz.place import place
from t1c.viz.repeats import repeats

from .viz_examples import affine, lif, nested, recurrent, residual

EVERYTHING = float("inf")


@st.composite
def dags(draw, most=14):
    """(count, edges from lower to higher numbers)."""
    count = draw(st.integers(1, most))
    pairs = list(itertools.combinations(range(count), 2))
    return count, draw(st.lists(st.sampled_from(pairs), max_size=30)) if pairs else []


@given(dags(), st.data())
def test_rows_run_downwards_and_nothing_overlaps(dag, data):
    count, edges = dag
    widths = data.draw(st.lists(st.integers(1, 90), min_size=count, max_size=count))
    rows = arrange(count, edges)
    row = rows.row_of()
    assert sorted(itertools.chain(*rows.rows)) == list(range(len(rows.above)))
    for (upper, lower), chain in zip(edges, rows.chains, strict=True):
        assert [row[n] for n in (upper, *chain, lower)] == list(range(row[upper], row[lower] + 1))
    xs = columns(rows, widths, 10, 4)
    wide = [*widths, *[0] * (len(xs) - count)]
    for members in rows.rows:
        for a, b in itertools.pairwise(members):
            assert xs[b] - xs[a] >= (wide[a] + wide[b]) / 2 + 4 - 1e-6


@given(dags())
def test_crossings_are_counted_right(dag):
    rows = arrange(*dag)
    found = 0
    for upper, lower in itertools.pairwise(rows.rows):
        pairs = [(upper.index(a), lower.index(b)) for a in upper for b in rows.below[a]]
        found += sum((a - c) * (b - d) < 0 for (a, b), (c, d) in itertools.combinations(pairs, 2))
    assert crossings(rows) == found


def test_two_crossing_edges_are_uncrossed():
    assert crossings(arrange(4, [(0, 3), (1, 2)])) == 0


def test_a_side_branch_stands_next_to_what_it_leads_to():
    row = arrange(5, [(0, 1), (1, 2), (2, 3), (4, 3)]).row_of()
    assert row[4] == row[3] - 1


def test_an_edge_that_passes_rows_is_straight():
    rows = arrange(5, [(0, 1), (1, 2), (2, 3), (3, 4), (0, 4)])
    xs = columns(rows, [50.0] * 5, 10, 4)
    assert len({xs[point] for point in rows.chains[4]}) == 1
    assert len(rows.chains[4]) == 3


@given(st.lists(st.integers(0, 2), max_size=40))
def test_repeats_are_equal_parts_that_do_not_overlap(sequence):
    found = repeats(sequence)
    stop = 0
    for run in found:
        assert run.start >= stop
        stop = run.stop
        assert stop + run.slack <= len(sequence)
        for late in range(run.slack + 1):
            first = run.start + late
            parts = [
                sequence[i : i + run.period] for i in range(first, first + run.length, run.period)
            ]
            assert len(parts) == run.times >= 2
            assert all(part == parts[0] for part in parts)


def test_what_repeats_is_found():
    (run,) = repeats("xabcabcabcy")
    assert (run.start, run.period, run.times) == (1, 3, 3)
    assert repeats("abcdefg") == []
    # A short run at the start does not hide a longer one within it.
    (run,) = repeats("aabababab")
    assert (run.start, run.period, run.times) == (1, 2, 4)


def shape_of(block):
    """A block without its names: kind, times, parts."""
    if isinstance(block, str):
        return "node"
    return (block.kind, block.times, [shape_of(part) for part in block.parts])


def blocks_of(graph):
    types = {name: node.primitive for name, node in graph.nodes.items()}
    return find_blocks(list(graph.nodes), graph.edges, set(graph.feedback_edges()), types)


def test_residual_blocks_are_found_and_their_repetition():
    (block,) = blocks_of(residual(5))
    one = ("residual", 1, ["node"] * 3)
    assert shape_of(block) == ("repeat", 5, [one] * 5)
    assert block.prefix() == "blocks"
    types = {name: node.primitive for name, node in residual(5).nodes.items()}
    assert block.title(types) == "blocks ×5"
    assert block.types(types) == "Affine → LIF → Skip"
    assert [one.title(types) for one in block.parts] == [f"blocks.{i}" for i in range(5)]


def test_plain_layers_that_repeat_are_found():
    nodes = {"in": ir.Input((8,))}
    for i in range(6):
        nodes |= {f"fc{i}": affine(8, 8, i), f"lif{i}": lif(8)}
    nodes["out"] = ir.Output((8,))
    (block,) = blocks_of(ir.Graph(nodes, itertools.pairwise(nodes)))
    assert shape_of(block) == ("repeat", 6, ["node"] * 12)


def test_branches_of_attention_and_pyramids_are_found():
    nodes = {"in": ir.Input((4,)), "q": affine(4, 4), "k": affine(4, 4), "v": affine(4, 4)}
    nodes |= {"qk": ir.Binary("multiply"), "qkv": ir.Binary("multiply"), "out": ir.Output((4,))}
    edges = [("in", "q"), ("in", "k"), ("in", "v"), ("q", "qk"), ("k", "qk"), ("qk", "qkv")]
    (block,) = blocks_of(ir.Graph(nodes, [*edges, ("v", "qkv"), ("qkv", "out")]))
    assert block.kind == "branches"
    assert set(block.leaves()) == {"q", "k", "v", "qk", "qkv"}


def test_loops_are_found():
    (block,) = blocks_of(recurrent())
    assert block.kind == "loop"
    assert set(block.leaves()) == {"lif1", "rec", "fc2", "lif2", "back"}


def test_loops_are_equal_only_if_they_are_entered_and_left_equally():
    def layers(entries):
        nodes, edges, before = {"in": ir.Input((4,))}, [], "in"
        for i, entry in enumerate(entries):
            loop = {"a": f"a{i}", "b": f"b{i}", "c": f"c{i}"}
            nodes |= {name: lif(4) for name in loop.values()}
            edges += [(loop[a], loop[b]) for a, b in itertools.pairwise("abca")]
            edges.append((before, loop[entry]))
            before = loop["c"]
        nodes["out"] = ir.Output((4,))
        return list(nodes), [*edges, (before, "out")], {n: n[0] for n in nodes}

    names, edges, kinds = layers("aaaaa")
    first, repeat = find_blocks(names, edges, set(), kinds)
    assert first.kind == "loop"  # entered from a single node, and so unlike the others
    assert (repeat.kind, repeat.times) == ("repeat", 4)
    names, edges, kinds = layers("abaab")
    assert all(block.kind != "repeat" for block in find_blocks(names, edges, set(), kinds))


def test_blocks_around_nearly_all_of_a_block_are_left_out():
    ends = [f"{side}{i}" for side in "ab" for i in range(40)]
    names = ["in", *ends, "out"]
    edges = [*itertools.pairwise(names), *((f"a{i}", f"b{39 - i}") for i in range(39))]
    found = find_blocks(names, edges, set(), {name: name for name in names})
    depth = 0
    while found:
        (block,) = found
        found = [part for part in block.parts if isinstance(part, Block)]
        depth += 1
    assert depth == 1


def test_lines_of_a_folded_group_are_joined():
    cell = ir.Graph(
        {"x": ir.Input((4,)), "a": lif(4), "b": lif(4, 3.0), "y": ir.Output((4,)),
         "z": ir.Output((4,))},
        [("x", "a"), ("x", "b"), ("a", "y"), ("b", "z")],
    )  # fmt: skip
    nodes = {"in": ir.Input((4,)), "cell": cell, "one": ir.Identity(), "two": ir.Identity()}
    nodes |= {"sum": ir.Skip("residual"), "out": ir.Output((4,))}
    edges = [("in", "cell"), ("cell", "one"), ("cell", "two"), ("one", "sum"), ("two", "sum")]
    graph = viz.graph_to_dict(ir.Graph(nodes, [*edges, ("sum", "out")]))
    picture = lay_out(graph)

    def lines(opened):
        return sum(line.link.source == "cell" for line in place(picture, opened).lines)

    assert (lines(()), lines({"cell"})) == (1, 2)


@given(dags(10), st.data())
def test_blocks_share_no_node_and_repeats_are_equal(dag, data):
    count, edges = dag
    names = [f"n{i}" for i in range(count)]
    edges = [(names[a], names[b]) for a, b in dict.fromkeys(edges)]
    kinds = {name: data.draw(st.sampled_from("ab")) for name in names}
    seen = []

    def look(block):
        for part in block.parts:
            if isinstance(part, Block):
                look(part)
            else:
                seen.append(part)
        if block.kind == "repeat":
            leaves = list(block.leaves())
            size = len(leaves) // block.times
            parts = [leaves[i : i + size] for i in range(0, len(leaves), size)]
            assert len(parts) == block.times
            assert len({tuple(kinds[name] for name in part) for part in parts}) == 1
            for wired in (entered, left):
                wires = [wired(*pair) for pair in itertools.pairwise(parts)]
                assert all(wire == wires[0] for wire in wires)

    def entered(before, part):
        """Edges within a part, from the one before, and from elsewhere."""
        at = {name: -1 - i for i, name in enumerate(before)}
        at |= {name: i for i, name in enumerate(part)}
        return sorted(str((at.get(a, a), at[b])) for a, b in edges if b in part)

    def left(part, after):
        """Edges from a part to elsewhere than the next one."""
        others = {*part, *after}
        return [(part.index(a), b) for a, b in edges if a in part and b not in others]

    with patch.multiple(blocks, FEWEST=2, FEWEST_REPEATED=2):  # small graphs are to have blocks
        found = find_blocks(names, edges, set(), kinds)
    for block in found:
        look(block)
    assert len(seen) == len(set(seen))


@pytest.mark.parametrize("make", [recurrent, nested, lambda: residual(20)])
@pytest.mark.parametrize("most", [0, EVERYTHING])
def test_boxes_lie_in_their_frames_and_nowhere_else(make, most):
    graph = viz.graph_to_dict(make())
    scene = place(lay_out(graph), opened(graph, most))
    home = {thing["id"]: thing["group"] for thing in [*graph["nodes"], *graph["groups"]]}
    boxes = {box.id: box for box in scene.boxes}

    def inside(a, b):
        return (
            b.x <= a.x and a.x + a.width <= b.x + b.width + 1e-6
            and b.y <= a.y and a.y + a.height <= b.y + b.height + 1e-6
        )  # fmt: skip

    def apart(a, b):
        return (
            a.x + a.width <= b.x or b.x + b.width <= a.x
            or a.y + a.height <= b.y or b.y + b.height <= a.y
        )  # fmt: skip

    for a, b in itertools.combinations(boxes.values(), 2):
        if home[a.id] == home[b.id]:
            assert apart(a, b), (a, b)
        elif home[a.id] == b.id:
            assert inside(a, b)
        elif home[b.id] == a.id:
            assert inside(b, a)
    assert max(box.x + box.width for box in scene.boxes) <= scene.width + 1e-6
    if most == EVERYTHING:
        assert {node["id"] for node in graph["nodes"]} <= set(boxes)


def test_groups_that_lead_to_each_other_have_a_picture():
    cell = ir.Graph(
        {"a": ir.Input((4,)), "b": ir.Input((4,)), "x": lif(4), "y": lif(4),
         "c": ir.Output((4,)), "d": ir.Output((4,))},
        [("a", "x"), ("x", "c"), ("b", "y"), ("y", "d")],
    )  # fmt: skip
    nodes = {"in": ir.Input((4,)), "cell": cell, "fc": affine(4, 4), "out": ir.Output((4,))}
    edges = [("in", "cell"), ("cell", "fc"), ("fc", "cell"), ("cell", "out")]
    graph = viz.graph_to_dict(ir.Graph(nodes, edges, allow_cycles=True))
    assert not any(edge["feedback"] for edge in graph["edges"])
    ups = [link for link in lay_out(graph).scopes[None].scope.links if link.upwards]
    assert len(ups) == 1  # and yet the picture has a line upwards


def test_many_long_edges_do_not_take_long():
    edges = [(a, b) for a in range(250) for b in range(a + 1, 250)]
    rows = arrange(250, edges)
    assert len(rows.above) < 250 + 20_001
    assert sum(map(len, rows.chains)) > 10_000


def test_names_are_shortened_in_the_middle():
    assert shortened("short", 10) == "short"
    text = shortened("features.encoder.blocks.17.attention.lif", 20)
    assert letters(text) <= 20
    assert text.startswith("feat")
    assert text.endswith("attention.lif"[-8:])
    assert "…" in text
    assert letters(shortened("脉冲神经网络脉冲神经网络", 10)) <= 10


def test_a_long_chain_continues_in_the_next_column():
    nodes = {"in": ir.Input((3,))}
    nodes |= {f"n{i}": ir.ELU(3, alpha=float(i + 1)) for i in range(120)}
    nodes["out"] = ir.Output((3,))
    graph = viz.graph_to_dict(ir.Graph(nodes, itertools.pairwise(nodes)))
    scene = place(lay_out(graph), ())
    assert 0.5 < scene.width / scene.height < 3
    assert np.unique([box.x for box in scene.boxes]).size > 4


def names_of_a_resnet(merge):
    """Stages of residual blocks; what adds up is called as ``merge`` says."""
    nodes, edges, before = {"in": ir.Input((8,))}, [], "in"
    for number, (stage, block) in enumerate(itertools.product(range(2), range(3))):
        at = f"layer{stage}.{block}"
        add = merge.format(at=at, number=number)
        first = {f"{at}.fc1": affine(8, 8, number), f"{at}.lif1": lif(8)}
        inner = {**first, f"{at}.fc2": affine(8, 8, 9 + number), f"{at}.bn": ir.Identity()}
        nodes |= {**inner, add: ir.Skip("residual"), f"{at}.lif2": lif(8)}
        edges += itertools.pairwise([before, *inner, add, f"{at}.lif2"])
        edges.append((before, add))
        before = f"{at}.lif2"
        if block == 2 and not stage:
            nodes |= {"between": ir.Scale(np.ones(8))}
            edges.append((before, "between"))
            before = "between"
    nodes["out"] = ir.Output((8,))
    return ir.Graph(nodes, [*edges, (before, "out")])


@pytest.mark.parametrize("merge", ["{at}.add", "add_{number}"])
def test_groups_are_called_what_most_of_their_nodes_are(merge):
    """Also where an addition has its name from elsewhere."""
    groups = viz.graph_to_dict(names_of_a_resnet(merge))["groups"]
    repeats = [group for group in groups if group["kind"] == "repeat"]
    assert [group["name"] for group in repeats] == ["layer0 ×3", "layer1 ×3"]
    parts = [group["name"] for group in groups if group["kind"] == "part"]
    assert parts == [f"layer{stage}.{block}" for stage in range(2) for block in range(3)]
    assert all(group["types"].startswith("Affine → LIF → Affine") for group in groups)
    shown = lay_out(viz.graph_to_dict(names_of_a_resnet(merge)))
    box = shown.boxes[repeats[0]["id"]]
    assert box.name == "layer0 ×3"
    assert box.detail.startswith("Affine → LIF")
    assert box.detail.endswith(", 3 equal parts, 18 nodes")


def along(path):
    """Points on an SVG path of lines and curves, close to each other."""
    found, at = [], (0.0, 0.0)
    for letter, numbers in re.findall(r"([MLCQ])([^MLCQ]*)", path):
        values = [float(number) for number in numbers.split()]
        ends = [at, *zip(values[::2], values[1::2], strict=True)]
        if letter != "M":
            for t in np.linspace(0, 1, 60):
                points = ends
                while len(points) > 1:
                    points = [
                        ((1 - t) * a[0] + t * b[0], (1 - t) * a[1] + t * b[1])
                        for a, b in itertools.pairwise(points)
                    ]
                found.append(points[0])
        at = ends[-1]
    return found


@pytest.mark.parametrize(
    "make",
    [
        lambda: names_of_a_resnet("{at}.add"),
        lambda: residual(30),
        lambda: residual(4),
        recurrent,
        nested,
    ],
)
def test_no_line_crosses_the_title_of_a_frame(make):
    graph = viz.graph_to_dict(make())
    picture = lay_out(graph)
    scene = place(picture, opened(graph, float("inf")))
    groups = {group["id"]: group for group in graph["groups"]}
    points = [point for line in scene.lines for point in along(line.path)]
    frames = [box for box in scene.boxes if box.open]
    assert frames or not groups
    for box in frames:
        left, room = box.title
        words = frame_title(groups[box.id], room)
        assert words.split("  ")[0] == groups[box.id]["name"] or "…" in words
        right = left + letters(words) * SMALL_LETTER
        assert box.x < left < right < box.x + box.width
        low, high = box.y + 7, box.y + 20
        inside = [(x, y) for x, y in points if left < x < right and low < y < high]
        assert not inside, words


def test_a_box_tells_the_window_and_the_stride():
    nodes = {
        "in": ir.Input((1, 12, 12)),
        "conv": ir.Conv2d(np.ones((4, 1, 3, 5)), np.ones(4), padding=(1, 2)),
        "down": ir.Conv2d(np.ones((4, 4, 3, 3)), np.ones(4), stride=(2, 2), padding=(1, 1)),
        "pool": ir.MaxPool2d(kernel_size=(2, 2)),
        "flat": ir.Flatten(),
        "out": ir.Output((36,)),
    }
    graph = ir.Graph(nodes, list(itertools.pairwise(nodes)))
    boxes = lay_out(viz.graph_to_dict(graph)).boxes
    told = {name: boxes[name].detail for name in nodes}
    assert told["conv"] == "Conv2d 3×5, 4×12×12"
    assert told["down"] == "Conv2d 3×3 /2, 4×6×6"
    assert told["pool"] == "MaxPool2d 2×2 /2, 4×3×3"
    assert told["flat"] == "Flatten 36"
