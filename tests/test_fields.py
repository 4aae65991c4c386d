"""What a field of each kind takes, keeps and says of what it refuses."""

import dataclasses
from typing import Any

import numpy as np
import pytest

from t1c import ir
from t1c.ir import fields
from t1c.ir.fields import (
    ArrayKind,
    BoolKind,
    ChoiceKind,
    FloatKind,
    IntKind,
    IntsKind,
    Kind,
    TextKind,
)

RANGE: dict[str, Any] = {"low": 1, "high": 9}
WORDS: dict[str, Any] = {"words": ("same", "valid")}
DECLARED: dict[str, tuple[type[Kind], tuple[str, ...], dict[str, Any]]] = {
    "array": (ArrayKind, (), {"ndim": 2}),
    "integer": (IntKind, (), RANGE | WORDS),
    "real": (FloatKind, (), RANGE),
    "boolean": (BoolKind, (), {}),
    "choice": (ChoiceKind, ("a", "b"), {"aliases": {"c": "a"}, "later": {"b": "0.3.0"}}),
    "text": (TextKind, (), {}),
    "integers": (IntsKind, (), {"length": 2} | RANGE | WORDS),
}


@pytest.mark.parametrize("name", DECLARED)
def test_a_declaration_says_the_kind_of_the_field_its_default_and_its_version(name):
    kind, words, options = DECLARED[name]
    declare = getattr(fields, name)
    said = options | ({"words": words} if words else {})
    required = declare(*words, **options)
    assert required.metadata["kind"] == kind(**said)
    assert required.default is dataclasses.MISSING
    later = declare(*words, **options, since="0.2.0", default=7)
    assert later.metadata["kind"] == kind(since="0.2.0", **said)
    assert later.default == 7
    absent = declare(*words, **options, default=None)
    assert absent.metadata["kind"] == kind(optional=True, **said)
    assert absent.metadata["kind"].convert(None) is None
    assert absent.default is None
    least = kind(words=words) if words else kind()
    assert declare(*words).metadata["kind"] == least


TAKEN = [
    (ArrayKind(), [[1, 2]], np.array([[1, 2]])),
    (ArrayKind(ndim=1), np.ones(2, np.float16), np.ones(2, np.float16)),
    (IntKind(low=1, high=3), np.int8(3), 3),
    (IntKind(low=1, high=3), np.array(1), 1),
    (IntKind(words=("same",)), "same", "same"),
    (IntKind(), -(2**63), -(2**63)),
    (IntKind(), 2**63 - 1, 2**63 - 1),
    (FloatKind(low=0.0, high=1.0), 1, 1.0),
    (FloatKind(low=0.0, high=1.0), np.float32(0), 0.0),
    (FloatKind(), np.array([[2.5]]), 2.5),
    (BoolKind(), np.True_, True),
    (BoolKind(), np.array(False), False),
    (ChoiceKind(words=("a", "b"), aliases={"c": "a"}), "c", "a"),
    (ChoiceKind(words=("a", "b")), "b", "b"),
    (TextKind(), "\N{BRAIN}", "\N{BRAIN}"),
    (IntsKind(), 3, (3,)),
    (IntsKind(length=2), 3, (3, 3)),
    (IntsKind(length=2), [3], (3, 3)),
    (IntsKind(length=2), np.array([1, 2]), (1, 2)),
    (IntsKind(low=1, high=2), (1, 2, 1), (1, 2, 1)),
    (IntsKind(words=("same",)), "same", "same"),
]


@pytest.mark.parametrize(("kind", "value", "kept"), TAKEN, ids=repr)
def test_what_a_kind_takes_is_kept_in_one_form(kind, value, kept):
    found = kind.convert(value)
    assert type(found) is type(kept)
    np.testing.assert_array_equal(found, kept)
    if isinstance(kept, np.ndarray):
        assert found.dtype == kept.dtype


ARRAY = "a numeric array"
TO_FLOAT = "Convert it to float32 or float64 first."
REFUSED = [
    (ArrayKind(), "1", f"'1'; expected {ARRAY}. Pass the numbers, not text that describes them."),
    (ArrayKind(), b"1", f"b'1'; expected {ARRAY}. Pass the numbers, not text that describes them."),
    (ArrayKind(), {}, f"{{}}; expected {ARRAY}. Pass the numbers, not text that describes them."),
    (ArrayKind(), None, f"None; expected {ARRAY}. Pass the numbers, not text that describes them."),
    (ArrayKind(), [True], f"[True]; expected {ARRAY}. {TO_FLOAT}"),
    (ArrayKind(), [1j], f"[1j]; expected {ARRAY}. {TO_FLOAT}"),
    (
        ArrayKind(),
        np.ones(5, np.longdouble),
        f"an array of shape (5,) and dtype {np.dtype(np.longdouble)}; expected {ARRAY}. {TO_FLOAT}",
    ),
    (
        ArrayKind(ndim=2),
        np.ones(5),
        "an array of shape (5,) and dtype float64; expected a numeric array of 2 dimensions",
    ),
    (
        ArrayKind(),
        np.ones((2, 0)),
        "array([], shape=(2, 0), dtype=float64); expected an array with at least one element",
    ),
    (IntKind(low=1, high=3), 0, "0; expected an integer from 1 to 3"),
    (IntKind(low=1, high=3), 4, "4; expected an integer from 1 to 3"),
    (IntKind(low=1), 0, "0; expected an integer of at least 1"),
    (IntKind(high=3), 4, "4; expected an integer of at most 3"),
    (IntKind(), True, "True; expected an integer"),
    (IntKind(), 2**63, f"{2**63}; expected an integer"),
    (IntKind(), -(2**63) - 1, f"{-(2**63) - 1}; expected an integer"),
    (
        IntKind(low=0, words=("a", "b")),
        "c",
        "'c'; expected an integer of at least 0, or 'a', or 'b'",
    ),
    (FloatKind(low=0.5), 0.25, "0.25; expected a number of at least 0.5"),
    (FloatKind(), np.inf, "inf; expected a number"),
    (FloatKind(), 10**400, f"1{'0' * 76}...; expected a number"),
    (FloatKind(), False, "False; expected a number"),
    (FloatKind(), np.False_, "np.False_; expected a number"),
    (FloatKind(), "1", "'1'; expected a number"),
    (FloatKind(), np.ones(2), "array([1., 1.]); expected a number"),
    (BoolKind(), 1, "1; expected True or False"),
    (BoolKind(), np.array([True]), "array([ True]); expected True or False"),
    (ChoiceKind(words=("a", "b")), "c", "'c'; expected one of 'a', 'b'"),
    (ChoiceKind(words=("a", "b")), 1, "1; expected one of 'a', 'b'"),
    (TextKind(), "a\0", "'a\\x00'; expected text that UTF-8 can hold, without NUL"),
    (TextKind(), 1, "1; expected text that UTF-8 can hold, without NUL"),
    (IntsKind(), "a", "'a'; expected a tuple of integers of at least 0"),
    (IntsKind(), (), "(); expected a tuple of integers of at least 0"),
    (IntsKind(low=None), {1}, "{1}; expected a tuple of integers"),
    (IntsKind(high=3), (3, 4), "(3, 4); expected a tuple of integers from 0 to 3"),
    (
        IntsKind(words=("a", "b")),
        "c",
        "'c'; expected a tuple of integers of at least 0, or 'a', or 'b'",
    ),
    (IntsKind(), (1, -1), "(1, -1); expected a tuple of integers of at least 0"),
    (IntsKind(high=3), (1, 1.0), "(1, 1.0); expected a tuple of integers from 0 to 3"),
    (
        IntsKind(length=2, words=("same",)),
        (1, 2, 3),
        "(1, 2, 3); expected 2 integers (or one for all) of at least 0, or 'same'",
    ),
]


@pytest.mark.parametrize(("kind", "value", "said"), REFUSED, ids=repr)
def test_what_a_kind_refuses_is_shown_beside_what_it_takes(kind, value, said):
    with pytest.raises(ir.NodeError) as caught:
        kind.convert(value)
    assert str(caught.value) == said


READ = [
    (IntKind(), "3", 3),
    (IntKind(words=("same",)), "same", "same"),
    (FloatKind(), "2.5", 2.5),
    (BoolKind(), "True", True),
    (ChoiceKind(words=("a",)), "a", "a"),
    (TextKind(), "True", "True"),
    (IntsKind(), "(1, 2)", (1, 2)),
    (IntsKind(words=("same",)), "same", "same"),
]


@pytest.mark.parametrize(("kind", "text", "kept"), READ, ids=repr)
def test_text_of_an_early_writer_is_read_as_what_it_meant(kind, text, kept):
    assert kind.from_text(text) == kept


def test_what_numpy_cannot_take_is_told_in_its_words():
    with pytest.raises(ir.NodeError) as caught:
        ArrayKind().convert([[1], [1, 2]])
    said = f"{ARRAY}. NumPy cannot take it ({caught.value.__cause__}); pass a NumPy array."
    assert str(caught.value) == f"[[1], [1, 2]]; expected {said}"


def test_text_that_means_nothing_is_refused_however_long():
    for text in ("(", "import", "1 + ", "1" * 1001):
        with pytest.raises(ir.NodeError) as caught:
            IntKind().from_text(text)
        assert str(caught.value) == f"{fields.show(text)}; expected an integer"
    assert FloatKind().from_text("1." + "0" * 998) == 1.0
    with pytest.raises(ir.NodeError, match=r"'1'; expected a numeric array\. The file holds text"):
        ArrayKind().from_text("1")


def test_a_value_of_a_later_word_asks_for_its_version():
    kind = ChoiceKind(words=("a", "b"), later={"b": "0.3.0"}, since="0.2.0")
    assert (kind.since_of("a"), kind.since_of("b")) == ("0.2.0", "0.3.0")
    assert IntKind(since="0.1.0").since_of(3) == "0.1.0"


def test_a_long_value_is_shown_by_its_beginning():
    assert fields.show(np.arange(4)) == "array([0, 1, 2, 3])"
    assert fields.show(np.arange(5)) == "an array of shape (5,) and dtype int64"
    assert fields.show("x" * 78) == repr("x" * 78)
    assert fields.show("x" * 79) == "'" + "x" * 76 + "..."
