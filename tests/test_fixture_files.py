"""The files of the format's first implementations open, or are refused, and mean what they must.

``tests/data`` holds files that t1c-ir 0.0.2 and talon-ir 0.0.2 wrote. ``X.npz`` holds what
``X.t1c`` must give: ``expected/...`` where the first executor was wrong, otherwise ``out`` and
``state/<node>/<i>``. ``gen2_X`` is X after it was read and written once more, with numbers and
booleans turned into text.
"""

from pathlib import Path

import numpy as np
import pytest

from t1c import ir

DATA = Path(__file__).parent / "data"
T1CIR = sorted((DATA / "t1cir").glob("*.t1c"))
TALONIR = sorted((DATA / "talonir").glob("*.t1c"))

# File -> (the error, what its message must say).
REFUSED = {
    "net_dup_edges": (ir.GraphError, "edge 'fc' -> 'add': duplicate edge"),
    "net_passthrough_two": (ir.GraphError, "node 'p' .*2 edges lead into a passthrough"),
    "odd_dangling_edge": (ir.GraphError, "edge 'fc' -> 'nope': there is no node 'nope'"),
    "odd_name_abs": (ir.GraphError, "edge 'input' -> '/abs': there is no node '/abs'"),
    "odd_name_slash": (ir.T1CFormatError, "node 'a'.*'a/b', and a name must not hold a slash"),
    "odd_tensor_weight": (ir.T1CFormatError, "'fc' .*'weight'.*text where numbers belong"),
    "prim_softmax_dim0_chw": (ir.T1CFormatError, "node 'act'.*'dim'.*over the batch axis"),
}

# Opens, but has nothing to be compared with.
ONLY_OPENS = {"odd_numpy_stride", "odd_padding_same", "odd_nested_graph"}

# Primitives of talon-ir that the format does not have today: file -> their names.
UNKNOWN = {
    "talon_dfl": ["DFLDecode"],
    "talon_dist2bbox": ["Dist2BBox"],
    "talon_ghostblock1": ["GhostBasicBlock1"],
    "talon_ghostblock2": ["GhostBasicBlock2"],
    "talon_ghostencoder": ["SGhostEncoderLite"],
    "talon_nms": ["NMS"],
    "talon_sconv": ["SConv"],
    "talon_sddetect": ["SDDetect"],
    "talon_sdconv": ["SDConv"],
    "talon_sghostconv": ["SGhostConv"],
}

RUNS = [p for p in [*T1CIR, *TALONIR] if p.stem not in {*REFUSED, *ONLY_OPENS, *UNKNOWN}]


def named(paths):
    return pytest.mark.parametrize("path", paths, ids=lambda path: path.stem)


def test_all_files_are_there():
    assert (len(T1CIR), len(TALONIR)) == (87, 18)
    assert len(RUNS) == len(T1CIR) + len(TALONIR) - len({*REFUSED, *ONLY_OPENS, *UNKNOWN})


@named([p for p in T1CIR if p.stem in REFUSED])
def test_an_invalid_file_is_refused(path):
    error, message = REFUSED[path.stem]
    with pytest.raises(error, match=f"(?s){message}"):
        ir.read(path)


@named([p for p in TALONIR if p.stem in UNKNOWN])
def test_an_unknown_primitive_is_refused_by_name(path):
    with pytest.raises(ir.T1CFormatError, match=path.name) as caught:
        ir.read(path)
    unknown = UNKNOWN[path.stem]
    found = {name for name in unknown for p in caught.value.problems if repr(name) in p.found}
    assert found == set(unknown)
    assert all("unknown primitive" in p.found for p in caught.value.problems)
    assert all(p.where.startswith("node '") for p in caught.value.problems)


def recorded(path):
    """Inputs, outputs by Output name, and final states by (node, index)."""
    graph = ir.read(path)
    with np.load(path.with_name(path.stem.removeprefix("gen2_") + ".npz")) as file:
        arrays = dict(file)
    inputs = {k.removeprefix("x/"): v for k, v in arrays.items() if k.startswith("x/")}
    right = {k.removeprefix("expected/"): v for k, v in arrays.items() if k.startswith("expected/")}
    right = right or arrays
    states = {
        (k.split("/")[1], int(k.split("/")[2])): v
        for k, v in right.items()
        if k.startswith("state/")
    }
    names = list(graph.outputs())
    if len(names) == 1:
        outputs = {names[0]: next(right[k] for k in OUTPUT_KEYS if k in right)}
    else:
        outputs = {name: right[name] for name in names}
    return graph, inputs or arrays["x"], outputs, states


OUTPUT_KEYS = ("out", "out_stepwise_with_feedback", "out_reset_to_zero")


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@named(RUNS)
def test_a_file_gives_the_recorded_results(path, dtype):
    graph, x, outputs, states = recorded(path)
    out, state = ir.Reference(graph, dtype).run(x)
    if len(outputs) == 1:
        out = dict.fromkeys(outputs, out)
    assert set(out) == set(outputs)
    for name, expected in outputs.items():
        assert out[name].dtype == dtype
        assert out[name].shape == expected.shape
        np.testing.assert_allclose(out[name], expected, rtol=2e-5, atol=2e-6, err_msg=name)
    for (node, i), expected in states.items():
        np.testing.assert_allclose(state[node][i], expected, rtol=2e-5, atol=2e-6, err_msg=node)
    neurons = {name for name, node in graph.nodes.items() if isinstance(node, ir.LIF | ir.IF)}
    assert set(state) == neurons == {node for node, _ in states}


@named([p for p in RUNS if p.stem.startswith(("net_", "prim_lif"))])
def test_a_run_may_be_interrupted_at_any_step(path):
    graph, x, _, _ = recorded(path)
    reference = ir.Reference(graph)
    whole, final = reference.run(x)
    pieces, state = [], None
    for part in (slice(0, 3), slice(3, 4), slice(4, None)):
        piece = {k: v[part] for k, v in x.items()} if isinstance(x, dict) else x[part]
        out, state = reference.run(piece, state)
        pieces.append(out if isinstance(out, dict) else {"": out})
    whole = whole if isinstance(whole, dict) else {"": whole}
    for name, value in whole.items():
        np.testing.assert_array_equal(np.concatenate([p[name] for p in pieces]), value)
    assert state is not None
    for name in final:
        for mine, theirs in zip(state[name], final[name], strict=True):
            np.testing.assert_array_equal(mine, theirs)


@named([p for p in T1CIR if p.stem.startswith("gen2_")])
def test_a_second_generation_is_read_as_what_was_meant(path):
    first = ir.read(path.with_name(path.name.removeprefix("gen2_")))
    second = ir.read(path)
    assert list(first.nodes) == list(second.nodes)
    for name, node in first.nodes.items():
        for field, value in node.values().items():
            other = getattr(second.nodes[name], field)
            assert type(value) is type(other), (name, field)
            np.testing.assert_array_equal(value, other)


@named([p for p in [*T1CIR, *TALONIR] if p.stem not in {*REFUSED, *UNKNOWN}])
def test_a_file_that_opens_is_written_and_read_again(path, tmp_path):
    graph = ir.read(path)
    assert ir.read_version(path) == "0.0.1"
    ir.write(tmp_path / "again.t1c", graph)
    later = any(node.since or isinstance(node, ir.Graph) for node in graph.nodes.values())
    assert ir.read_version(tmp_path / "again.t1c") == ("0.1.0" if later else "0.0.1")
    assert ir.read(tmp_path / "again.t1c").difference(graph) == []


def test_a_nested_graph_opens_and_runs_as_if_its_nodes_stood_outside():
    graph = ir.read(DATA / "t1cir" / "odd_nested_graph.t1c")
    fc = graph.nodes["sub"].nodes["fc"]
    x = np.random.default_rng(0).standard_normal((2, *graph.nodes["input"].shape))
    out, _ = ir.Reference(graph).step(x)
    np.testing.assert_allclose(out, x @ fc.weight.T.astype(float) + fc.bias, rtol=1e-12)


def test_a_stride_that_was_stored_as_text_or_as_one_number():
    (conv,) = fields_of("odd_numpy_stride", ir.Conv2d)
    assert conv.stride == (2, 2)
    (conv,) = fields_of("odd_scalar_stride", ir.Conv2d)
    assert (conv.stride, conv.padding) == ((2, 2), (1, 1))


def test_a_padding_that_was_stored_as_a_word():
    (conv,) = fields_of("odd_padding_same", ir.Conv2d)
    assert conv.padding == "same"


def test_half_precision_stays_half_precision():
    (fc,) = fields_of("odd_f16", ir.Affine)
    assert fc.weight.dtype == np.float16


@pytest.mark.parametrize(
    ("name", "meant"),
    [("add", "residual"), ("concat", "concatenate"), ("identity", "passthrough")],
)
def test_an_older_name_of_a_skip_type(name, meant):
    (skip,) = fields_of(f"prim_skip_{name}", ir.Skip)
    assert skip.skip_type == meant


def fields_of(name, kind):
    graph = ir.read(DATA / "t1cir" / f"{name}.t1c")
    return [node for node in graph.nodes.values() if isinstance(node, kind)]


def test_notes_of_every_kind():
    graph = ir.read(DATA / "t1cir" / "net_metadata.t1c")
    array = graph.metadata.pop("arr")
    assert array.dtype == np.int16
    assert array.tolist() == [[0, 1, 2], [3, 4, 5]]
    assert graph.metadata == {
        "bytes": "b'abc'", "empty": {}, "emptylist": {"dst": [], "src": []}, "emptystr": "",
        "flag": True, "flag_f": False, "flist": [1.5, 2.5], "list": [1, 2, 3], "lr": 0.001,
        "name": "modèle ✓", "nested": {"a": 1, "b": {"c": "x", "d": [1, 2]}}, "npf": "1.25",
        "npi": "7", "strlist": ["a", "b"], "tuple": [1, 2], "version": 3,
    }  # fmt: skip
    noted = [node.metadata for node in graph.nodes.values() if node.metadata]
    assert noted == [
        {"dt": 0.0001, "units": "ms"}, {"classes": ["x", "y", "z"]}, {"a": {"b": 2}},
        {"k": 1, "s": "x"},
    ]  # fmt: skip


def test_notes_for_hardware_are_kept():
    graph = ir.read(DATA / "talonir" / "talon_hwfields.t1c")
    assert graph.metadata == {
        "a": 1,
        "talon": {
            "cyclic_config": {"max_iterations": 10},
            "partition_metadata": {"assign": {"fc": 2}, "n_cores": 2},
            "quantization_config": {"bits": 8, "default": "int8"},
            "target_hardware": "zynq_7020",
        },
    }
    (fc,) = (node for node in graph.nodes.values() if isinstance(node, ir.Affine))
    assert fc.metadata["talon"]["hardware_hints"] == {"k": 1, "l": [1, 2], "nested": {"x": "y"}}
    assert set(fc.metadata["talon"]) == {
        "accum_t", "bias_t", "core_id", "hardware_hints", "precision", "reuse_factor", "result_t",
        "weight_t",
    }  # fmt: skip
