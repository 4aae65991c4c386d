"""Large arrays share their bytes until somebody writes to one, and nobody else sees what."""

import gc
import os
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from t1c import ir
from t1c.bridge import ir_to_torch, load, to_ir
from t1c.ir import copy_on_write, hdf5_read
from t1c.ir.copy_on_write import Bytes, Memory, own

N = 160  # a weight of 102,400 bytes


def numbers(*shape, seed=0):
    return (np.random.default_rng(seed).integers(-99, 99, shape) / 256).astype(np.float32)


def graph():
    nodes = {
        "input": ir.Input((N,)),
        "fc": ir.Affine(numbers(N, N), numbers(N, seed=1)),
        "wide": ir.Linear(numbers(N, N, seed=2).astype(np.float64)),
        "lif": ir.LIF(*(np.array([value], np.float32) for value in (2.0, 2.0, 0.0, 0.5))),
        "output": ir.Output((N,)),
    }
    return ir.Graph(nodes, [("input", "fc"), ("fc", "wide"), ("wide", "lif"), ("lif", "output")])


@pytest.fixture
def path(tmp_path, monkeypatch):
    """A file, of which all that is large is shared."""
    monkeypatch.setattr(hdf5_read, "LARGE", 1)
    ir.write(tmp_path / "large.t1c", graph())
    return tmp_path / "large.t1c"


def shared(array):
    return copy_on_write._view_of(array) is not None


def lies_in(weight):
    """The name of what is mapped where a tensor lies."""
    for line in Path("/proc/self/maps").read_text().splitlines():
        begin, end = (int(part, 16) for part in line.split()[0].split("-"))
        if begin <= weight.data_ptr() < end:
            return line.split(maxsplit=5)[-1]
    return ""


READERS = {"in memory": {}, "mapped": {"mmap": True}}
by_reader = pytest.mark.parametrize("options", READERS.values(), ids=READERS)


@by_reader
def test_what_is_shared_is_what_was_written(path, options):
    found = ir.read(path, **options)
    assert found.equals(graph())
    assert [shared(found.nodes["fc"].weight), shared(found.nodes["wide"].weight)] == [True, True]
    assert not shared(found.nodes["fc"].bias)
    address = found.nodes["fc"].weight.__array_interface__["data"][0]
    assert address % copy_on_write.LINE == 0


def test_small_files_are_read_as_ever(tmp_path):
    ir.write(tmp_path / "small.t1c", graph())
    assert not shared(ir.read(tmp_path / "small.t1c").nodes["fc"].weight)


@by_reader
def test_an_import_shares_and_training_it_shows_nowhere_else(path, options):
    found = ir.read(path, **options)
    one, two = ir_to_torch(found), ir_to_torch(found)
    for executor in (one, two):
        assert lies_in(executor.node("fc").weight).startswith(str(path) if options else "/memfd:")
    assert one.node("fc").weight.data_ptr() != two.node("fc").weight.data_ptr()
    assert one.node("wide").weight.dtype == torch.float32
    x = torch.from_numpy(numbers(3, N, seed=3))
    before = two(x)
    assert before.any()
    optimizer = torch.optim.SGD(one.parameters(), 0.5)
    one.train()
    one(x).sum().backward()
    optimizer.step()
    after = to_ir(one.eval(), x)
    assert not np.array_equal(after.nodes["fc"].weight, graph().nodes["fc"].weight)
    assert found.equals(graph())
    assert ir.read(path).equals(graph())
    assert to_ir(two, x).equals(graph())
    assert torch.equal(two(x), before)
    exported = after.nodes["fc"].weight.copy()
    optimizer.step()
    assert not np.array_equal(one.node("fc").weight.detach().numpy(), exported)
    assert np.array_equal(after.nodes["fc"].weight, exported)


def test_what_was_written_to_a_graph_is_imported(path):
    found = ir.read(path)
    executor = ir_to_torch(found)
    found.nodes["fc"].weight[0, 0] = 7.0
    changed = ir_to_torch(found)
    assert executor.node("fc").weight[0, 0] == graph().nodes["fc"].weight[0, 0]
    assert changed.node("fc").weight[0, 0] == 7.0
    found.nodes["fc"].weight[1, 1] = 9.0
    assert changed.node("fc").weight[1, 1] == graph().nodes["fc"].weight[1, 1]


def test_a_mapped_array_is_not_written_to_by_mistake(path):
    weight = ir.read(path, mmap=True).nodes["fc"].weight
    with pytest.raises(ValueError, match="read-only"):
        weight[0, 0] = 1.0


def test_a_file_that_is_replaced_stays_what_was_mapped(path):
    found = ir.read(path, mmap=True)
    executor = ir_to_torch(found)
    other = graph()
    other.nodes["fc"].weight = -other.nodes["fc"].weight
    ir.write(path, other)
    assert found.equals(graph())
    assert torch.equal(executor.node("fc").weight, ir_to_torch(graph()).node("fc").weight)
    assert ir.read(path, mmap=True).equals(other)


@pytest.mark.parametrize("node_map", [None, {ir.LIF: lambda node: None}], ids=["none", "a map"])
def test_a_loaded_file_computes_the_same(path, node_map):
    x = torch.from_numpy(numbers(5, 3, N, seed=4))
    executor = load(path, node_map=node_map)
    expected, _ = ir_to_torch(graph()).run(x)
    found, _ = executor.run(x)
    assert torch.equal(found, expected)
    assert found.any()
    assert lies_in(executor.node("fc").weight).startswith("/memfd:t1c")
    assert to_ir(executor, x[0]).equals(graph())


def test_nothing_is_left_open(path):
    def descriptors():
        gc.collect()
        return len(os.listdir("/proc/self/fd"))

    if not os.path.exists("/proc/self/fd"):
        pytest.skip("this system does not list open files")
    load(path)
    before = descriptors()
    for options in READERS.values():
        kept = [ir_to_torch(ir.read(path, **options)) for _ in range(3)]
        assert descriptors() > before
        del kept
        assert descriptors() == before


def test_numbers_that_are_packed_or_in_pieces_are_read(path, tmp_path):
    weight = graph().nodes["fc"].weight
    for name, options in {
        "packed": {"compression": "gzip"},
        "pieces": {"chunks": (10, N)},
    }.items():
        target = tmp_path / f"{name}.t1c"
        ir.write(target, graph())
        with h5py.File(target, "r+") as file:
            del file["graph/nodes/fc/weight"], file["checksums"]
            file["graph/nodes/fc"].create_dataset("weight", data=weight, **options)
        for reader in READERS.values():
            found = ir.read(target, **reader)
            assert found.equals(graph())
            assert not shared(found.nodes["fc"].weight)


def test_arrays_behind_a_block_of_the_users_are_found(path, tmp_path):
    with h5py.File(path) as file, h5py.File(tmp_path / "b", "w", userblock_size=512) as other:
        for name in file:
            file.copy(name, other)
        assert other["graph/nodes/fc/weight"].id.get_offset() >= 512
    for reader in READERS.values():
        found = ir.read(tmp_path / "b", **reader)
        assert found.equals(graph())
        assert reader == {} or not shared(found.nodes["fc"].bias)
    assert shared(ir.read(tmp_path / "b").nodes["fc"].weight)


def test_nan_in_a_large_array_is_found(path):
    with h5py.File(path, "r+") as file:
        file["graph/nodes/fc/weight"][N - 1, N - 1] = np.nan
        del file["checksums"]
    for reader in READERS.values():
        with pytest.raises(ir.errors.GraphError, match="1 of 25600 values are NaN"):
            ir.read(path, **reader)
    assert np.isnan(ir.read(path, mmap=True, allow_nonfinite=True).nodes["fc"].weight).sum() == 1


def test_no_two_holders_have_bytes_in_common(tmp_path):
    numbers(64).tofile(tmp_path / "bytes")
    size = np.dtype(np.float32).itemsize
    held = Bytes(os.open(tmp_path / "bytes", os.O_RDONLY))
    parts = [held.array(begin * size, (16,), np.dtype(np.float32)) for begin in (0, 8, 16, 32, 24)]
    for number, part in enumerate(parts):
        part[:] = number
    assert [set(part.tolist()) for part in parts] == [{0.0}, {1.0}, {2.0}, {3.0}, {4.0}]
    # Those that touch share a mapping, those that overlap do not.
    views = [copy_on_write._view_of(part) for part in parts]
    assert views[0] is views[2] is views[3]
    assert len({id(view) for view in views}) == 2
    again = held.array(0, (64,), np.dtype(np.float32))
    assert np.array_equal(again, numbers(64))


def test_own_copies_what_it_cannot_share(path):
    plain = numbers(4, 4)
    assert not np.shares_memory(own(plain), plain)
    weight = ir.read(path, mmap=True).nodes["fc"].weight
    turned = own(weight.T)
    assert np.array_equal(turned, weight.T)
    assert not shared(turned)
    part = own(weight[3:7])
    assert np.array_equal(part, weight[3:7])
    assert shared(part)
    part[:] = 0
    assert weight[3:7].any()


def test_memory_takes_what_a_file_holds(tmp_path):
    numbers(1000).tofile(tmp_path / "bytes")
    memory = Memory(4000)
    with open(tmp_path / "bytes", "rb") as file:
        found = memory.copy(file.fileno(), 400, (2, 100), np.dtype(np.float32))
        assert np.array_equal(found.ravel(), numbers(1000)[100:300])
        with pytest.raises(OSError, match="the file ends"):
            memory.copy(file.fileno(), 3996, (4,), np.dtype(np.float32))
