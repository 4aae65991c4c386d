"""The crossing between sparse and dense: measured once, kept in a file that may be anything."""

import json
from typing import Any

import pytest
import torch

from t1c.bridge.engine.kernels import crossing as room


@pytest.fixture
def fresh(monkeypatch, tmp_path):
    """A process that knows nothing yet, and a folder for its file; returns how to ask it."""
    monkeypatch.setenv(room.VARIABLE, str(tmp_path / "kept"))
    monkeypatch.setattr(room, "_known", None)
    calls: list[str] = []

    def ask(layer: str = "layer", dtype: torch.dtype = torch.float32) -> float:
        def way(name: str) -> Any:
            return lambda x: calls.append(name)

        return room.crossing(layer, (4, 5), dtype, way("dense"), way("sparse"))

    ask.calls = calls
    return ask


def forget(monkeypatch):
    """What another process starts with."""
    monkeypatch.setattr(room, "_known", None)


def test_it_is_measured_once_and_written(fresh, monkeypatch):
    found = fresh()
    assert room.LEAST <= found <= room.MOST
    assert "dense" in fresh.calls
    assert "sparse" in fresh.calls
    kept = json.loads(room.cache_file().read_text())
    assert list(kept.values()) == [found]
    fresh.calls.clear()
    assert fresh() == found
    forget(monkeypatch)
    assert fresh() == found
    assert not fresh.calls


def test_layers_dtypes_and_threads_have_their_own(fresh):
    fresh()
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(before + 1)
        fresh()
    finally:
        torch.set_num_threads(before)
    fresh("another")
    fresh(dtype=torch.float64)
    assert len(json.loads(room.cache_file().read_text())) == 4


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        "null",
        "3",
        '{"a": null}',
        '{"a": [1]}',
        "\x00\xff",
        '{"a": "word"}',
        '{"a": 1}',
    ],
)
def test_a_file_that_holds_something_else_is_written_anew(fresh, content):
    room.cache_file().parent.mkdir()
    room.cache_file().write_text(content, encoding="latin-1")
    found = fresh()
    assert found in json.loads(room.cache_file().read_text()).values()


@pytest.mark.parametrize("obstacle", ["a file for a folder", "a folder for a file"])
def test_it_lives_without_a_place_to_write(fresh, obstacle):
    path = room.cache_file()
    if obstacle == "a file for a folder":
        path.parent.write_text("")
    else:
        path.mkdir(parents=True)
    found = fresh()
    fresh.calls.clear()
    assert fresh() == found
    assert not fresh.calls


def test_processes_do_not_lose_each_others_measurements(fresh, monkeypatch):
    fresh("mine")
    mine = room._known
    forget(monkeypatch)
    fresh("theirs")
    monkeypatch.setattr(room, "_known", mine)
    fresh("another")
    kept = json.loads(room.cache_file().read_text())
    assert {key.split(": ")[1].split(",")[0] for key in kept} == {"mine", "theirs", "another"}


@pytest.mark.parametrize(
    ("ours", "base", "expected"),
    [
        ("/a", "/b", "/a/crossings.json"),
        (None, "/b", "/b/t1c/crossings.json"),
        ("", "/b", "/b/t1c/crossings.json"),
    ],
)
def test_where_the_file_is(monkeypatch, ours, base, expected):
    monkeypatch.delenv(room.VARIABLE, raising=False)
    if ours is not None:
        monkeypatch.setenv(room.VARIABLE, ours)
    monkeypatch.setenv("XDG_CACHE_HOME", base)
    assert room.cache_file().as_posix() == expected
