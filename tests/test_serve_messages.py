"""What clients send becomes numbers or an error, and what comes out is told without rounding."""

import doctest
import importlib
import io
import json
import pickle
import pkgutil
import zipfile
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from t1c import ir, serve
from t1c.ir.errors import InputError, T1CError
from t1c.serve.calls import JSON, NPZ, Asked, Calls
from t1c.serve.messages import Forms
from t1c.serve.numbers import packed, parsed, unpacked
from t1c.serve.ports import Port, Ports, inputs_of, outputs_of
from t1c.serve.refusals import RefusedError

from .engine_helpers import mlp
from .examples import examples

TWO = [Port("a", (2,)), Port("b", (1, 3))]
RNG = np.random.default_rng(0)


def forms(binary: str = "numbers", dtype: Any = np.float32, **options: Any) -> Forms:
    given = {"steps": 10, **options}
    return Forms(Ports(TWO, dtype), Ports([Port("out", (2, 2))], dtype), binary, **given)


def said(message: Any, **options: Any) -> Any:
    return forms(**options).read(message if isinstance(message, bytes) else json.dumps(message))


def refused(message: Any, **options: Any) -> str:
    with pytest.raises(InputError) as error:
        said(message, **options)
    return str(error.value)


# Messages of a stream ----------------------------------------------------------------------------


def test_numbers_by_name_become_rows_in_the_order_of_the_inputs():
    a, b = [[1, 2], [3, 4]], [[[5, 6, 7]], [[8, 9, 0.5]]]
    rows, form = said({"x": {"b": b, "a": a}})
    np.testing.assert_array_equal(rows, [[1, 2, 5, 6, 7], [3, 4, 8, 9, 0.5]])
    assert (rows.dtype, form) == (np.float32, "steps")
    answer = json.loads(forms().write(np.arange(8.0).reshape(2, 4), form))
    assert answer == {"steps": 2, "out": [[[0, 1], [2, 3]], [[4, 5], [6, 7]]]}


def test_one_step_without_an_axis_of_time_is_answered_without():
    rows, form = said({"x": {"a": [1, 2], "b": [[0, 0, 3]]}})
    assert rows.tolist() == [[1, 2, 0, 0, 3]]
    answer = json.loads(forms().write(np.arange(4.0)[None], form))
    assert answer == {"steps": 1, "out": [[0, 1], [2, 3]]}


def test_events_add_their_values_to_features_of_all_inputs():
    message = {"steps": 3, "events": [[0, 1], [2, 4], [2, 4], [1, 0, 0.25]]}
    rows, form = said(message)
    expected = np.zeros((3, 5))
    expected[0, 1], expected[2, 4], expected[1, 0] = 1, 2, 0.25
    np.testing.assert_array_equal(rows, expected)
    answer = json.loads(forms().write(np.array([[0, 0, 0, 0], [0, 1, -0.5, 0]]), form))
    assert answer == {"steps": 2, "events": [[1, 1, 1], [1, 2, -0.5]]}
    quiet, _ = said({"steps": 4, "events": []})
    assert quiet.shape == (4, 5)
    assert not quiet.any()


@examples(30)
@given(st.data())
def test_binary_forms_bring_the_same_steps_and_take_back_the_same_answer(data):
    dtype = np.dtype(data.draw(st.sampled_from(["<f4", "<f8"])))
    steps = data.draw(st.integers(1, 10))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    rows = (rng.integers(0, 4, (steps, 5)) * rng.integers(0, 2, (steps, 5))).astype(dtype)
    record = np.dtype([("step", "<u4"), ("index", "<u4"), ("value", dtype)])
    step, index = np.nonzero(rows)
    records = np.zeros(1 + len(step), record)
    records[0] = (steps, 0, 0)
    records["step"][1:], records["index"][1:] = step, index
    records["value"][1:] = rows[step, index]
    sent = {
        "numbers": rows.tobytes(),
        "uint8": rows.astype(np.uint8).tobytes(),
        "events": records.tobytes(),
    }
    answer = rng.normal(size=(steps, 4)).astype(dtype) * rng.integers(0, 2, (steps, 4))
    for binary, message in sent.items():
        found, form = said(message, binary=binary, dtype=dtype)
        np.testing.assert_array_equal(found, rows)
        told = forms(binary, dtype).write(answer.astype(dtype), form)
        assert isinstance(told, bytes)
        if binary == "events":
            head, *rest = np.frombuffer(told, record).tolist()
            back = np.zeros_like(answer)
            for at, feature, value in rest:
                back[at, feature] = value
            assert head == (steps, 0, 0)
        else:
            back = np.frombuffer(told, dtype).reshape(answer.shape)
        np.testing.assert_array_equal(back, answer)


def test_numbers_in_json_are_exact():
    values = RNG.normal(size=(3, 4)).astype(np.float32)
    answer = json.loads(forms().write(values, "steps"))
    np.testing.assert_array_equal(np.array(answer["out"], np.float32).reshape(3, 4), values)
    with pytest.raises(InputError, match=r"NaN or infinite.*binary"):
        forms().write(np.full((1, 4), np.inf), "steps")


@pytest.mark.parametrize(
    ("message", "words"),
    [
        ([], "no object"),
        ({}, "keys []"),
        ({"x": [], "events": [], "steps": 1}, "keys ['events', 'steps', 'x']"),
        ({"x": {"a": [1, 2]}}, "inputs ['a']; expected one for each of ['a', 'b']"),
        ({"x": [1]}, "one array; expected one for each of ['a', 'b']"),
        ({"x": {"a": [1, 2, 3], "b": [[1, 2, 3]]}}, "shape (3,)"),
        ({"x": {"a": [[1, 2]], "b": [[1, 2, 3]]}}, "different numbers of steps"),
        ({"x": {"a": [1, [2]], "b": [[1, 2, 3]]}}, "no array of numbers"),
        ({"x": {"a": ["1", "2"], "b": [[1, 2, 3]]}}, "no array of numbers"),
        ({"x": {"a": [1e39, 0], "b": [[1, 2, 3]]}}, "1 of 5 values are NaN or infinite"),
        ({"x": {"a": [[1, 2]] * 11, "b": [[[1, 2, 3]]] * 11}}, "11 steps; expected at most 10"),
        ({"steps": 10**12, "events": []}, "at most 10"),
        ({"steps": 0, "events": []}, "no steps"),
        ({"steps": -1, "events": []}, "-1 steps"),
        ({"steps": True, "events": []}, "steps True"),
        ({"steps": 2, "events": {}}, "no list"),
        ({"steps": 2, "events": [[0]]}, "[step, index]"),
        ({"steps": 2, "events": [[2, 0]]}, "step 2; expected 0 to 1"),
        ({"steps": 2, "events": [[0, 5]]}, "index 5; expected 0 to 4"),
        ({"steps": 2, "events": [[0, -1]]}, "index -1"),
        ({"steps": 2, "events": [[0.5, 0]]}, "not whole"),
        ({"steps": 2, "events": [[0, 1e300]]}, "index"),
        ({"steps": 2, "events": [[0, 0, 1e39]]}, "infinite"),
        ({"steps": 2, "events": [[0, [1]]]}, "numbers"),
        ({"steps": 2, "events": [], "more": 1}, "keys ['more']"),
        (b"123", "3 bytes; expected steps of 20"),
        (b"", "no steps"),
        (np.full(5, np.nan, "<f4").tobytes(), "5 of 5 values"),
    ],
)
def test_what_is_no_message_is_told_what_it_should_be(message, words):
    assert words in refused(message)


def test_text_that_is_no_json_is_told_so():
    for text in ("{", '{"x": NaN}', "[" * 100_000, '{"x": ' + "9" * 5000 + "}"):
        with pytest.raises(InputError, match="no JSON"):
            parsed(text, "message")


def test_events_in_bytes_are_checked_like_events_in_text():
    record = np.dtype([("step", "<u4"), ("index", "<u4"), ("value", "<f4")])

    def sent(*records: tuple[int, int, float]) -> bytes:
        return np.array(list(records), record).tobytes()

    assert "records of 12" in refused(b"12345", binary="events")
    assert "(T, 0, 0)" in refused(sent((1, 2, 0)), binary="events")
    assert "at most 10" in refused(sent((2**32 - 1, 0, 0)), binary="events")
    assert "step 3" in refused(sent((3, 0, 0), (3, 0, 1)), binary="events")
    assert "index 4294967295" in refused(sent((3, 0, 0), (0, 2**32 - 1, 1)), binary="events")
    with pytest.raises(InputError, match="numbers, uint8, events"):
        forms("pickle")


# Calls -------------------------------------------------------------------------------------------


def calls(graph: ir.Graph, limit: int = 10_000) -> Calls:
    ports = inputs_of(graph, np.float32), outputs_of(graph, np.float32)
    return Calls(graph, *ports, limit=limit, allow_nonfinite=False)


def test_samples_are_those_of_t1c_run_in_json_and_in_archives():
    x = RNG.random((5, 2, 4))
    body = json.dumps({"x": x.tolist()}).encode()
    of_json = calls(mlp()).read(body, Asked("JSON"))
    of_npz = calls(mlp()).read(packed({"x": x, "y": np.zeros(2)}), Asked(".npz"))
    still = calls(mlp()).read(packed({"x": x[0]}), Asked(".npz", steps=5))
    np.testing.assert_array_equal(of_json.inputs["input"], x.astype(np.float32))
    np.testing.assert_array_equal(of_npz.inputs["input"], x.astype(np.float32))
    assert still.inputs["input"].shape == x.shape
    assert still.inputs["input"].dtype == np.float32


def test_answers_are_collected_as_asked_and_as_each_output_says():
    nodes = {"in": ir.Input((2,)), "each": ir.Output((2,)), "last": ir.Output((2,), final=True)}
    graph = ir.Graph(nodes, [("in", "each"), ("in", "last")])
    ys = {name: RNG.random((3, 4, 2)).astype(np.float32) for name in ("each", "last")}
    body, kind = calls(graph).write(ys, Asked(".npz"))
    found = unpacked(body, 10_000)
    assert kind == NPZ
    np.testing.assert_array_equal(found["out/each"], ys["each"])
    np.testing.assert_array_equal(found["out/last"], ys["last"][-1])
    body, kind = calls(graph).write(ys, Asked("JSON", collect="sum"))
    told = json.loads(body)
    assert (kind, told["steps"], told["samples"]) == (JSON, 3, 4)
    total = ys["each"][0] + ys["each"][1] + ys["each"][2]
    np.testing.assert_array_equal(np.array(told["out"]["each"], np.float32), total)


def archive(entries: dict[str, bytes], kind: int = zipfile.ZIP_DEFLATED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", kind) as zipped:
        for name, data in entries.items():
            zipped.writestr(f"{name}.npy", data)
    return file.getvalue()


def array(shape: tuple[int, ...], descr: str = "<f8", data: bytes = b"") -> bytes:
    file = io.BytesIO()
    head = {"descr": descr, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, head)
    return file.getvalue() + data


class Trap:
    """Would run when it is unpickled."""

    sprung = False

    def __reduce__(self) -> Any:
        return setattr, (Trap, "sprung", True)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "no archive"),
        (b"PK\3\4 no more", "no archive"),
        (archive({"x": b"numbers"}), "no archive"),
        (archive({"x": array((10**12, 10**12))}), "in "),
        (archive({"x": array((3,), data=b"1234")}), "bytes"),
        (archive({"x": array((1,), data=b"1" * 9)}), "bytes; expected 8"),
        (archive({"x": array((-1, -1), data=b"1" * 8)}), "shape"),
        (archive({"x": array((1,), "|O", pickle.dumps(Trap()))}), "Python objects"),
        (archive({"x": array((1,), "<c16", bytes(16))}), "dtype complex128"),
        (archive({"x": b"\0" * 20_000_000}), "20000000 bytes, unpacked"),
        (archive({f"x{i}": b"" for i in range(70)}), "70 arrays"),
        (archive({"x": bytes(9000)}, zipfile.ZIP_BZIP2), "another compression"),
        (archive({"x": bytes(9000)}, zipfile.ZIP_LZMA), "another compression"),
        (archive({"y": array((1, 4), data=bytes(32))}), "arrays ['y']; expected x"),
        (packed({"x": np.full((1, 4), np.nan)}), "NaN or infinite"),
        (packed({"x": np.full((1, 4), 1e300)}), "NaN or infinite"),
        (packed({"x": np.zeros((1, 5))}), "shape (1, 5)"),
    ],
)
def test_hostile_and_broken_archives_bounce(body, words):
    with pytest.raises(T1CError) as error:
        calls(mlp()).read(body, Asked(".npz", steps=2))
    assert words in str(error.value)
    assert not Trap.sprung


def test_an_archive_cannot_ask_for_more_steps_than_fit():
    with pytest.raises(RefusedError, match="999999999 steps of 2 samples") as error:
        calls(mlp()).read(packed({"x": np.zeros((2, 4))}), Asked(".npz", steps=999_999_999))
    assert error.value.status == 413


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b'{"y": 1}', "keys ['y']"),
        (b"3", "no object"),
        (b'{"x": "numbers"}', "no array of numbers"),
        (b"\xff\xfe\xff", "no JSON"),
    ],
)
def test_json_that_brings_no_samples_bounces(body, words):
    with pytest.raises(InputError) as error:
        calls(mlp()).read(body, Asked("JSON", steps=2))
    assert words in str(error.value)


def test_what_a_call_asks_for_is_said_in_its_head():
    assert Asked.of("application/json; charset=utf-8", {"steps": "3"}) == Asked("JSON", 3)
    assert Asked.of(NPZ, {"collect": "sum"}) == Asked(".npz", collect="sum")
    with pytest.raises(RefusedError, match="Content-Type") as error:
        Asked.of("application/python-pickle", {})
    assert error.value.status == 415
    for query in ({"steps": "0"}, {"steps": "1e3"}, {"collect": "mean"}, {"token": "secret"}):
        with pytest.raises(InputError):
            Asked.of(JSON, query)


def test_examples_in_docstrings_run():
    names = [module.name for module in pkgutil.iter_modules(serve.__path__, "t1c.serve.")]
    found = [doctest.testmod(importlib.import_module(name)) for name in names]
    assert sum(each.failed for each in found) == 0
    assert sum(each.attempted for each in found) > 3
