"""The loops in vectors beside NumPy, and the threads that share them."""

import ctypes
import faulthandler
import mmap
import os
import signal
import subprocess
import sys
import textwrap
import time
import traceback
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from t1c.bridge.engine.kernels import compiled
from t1c.bridge.engine.kernels import threads as room
from t1c.bridge.engine.kernels.numba_columns import sums_of_columns
from t1c.bridge.engine.kernels.numba_events import (
    BLOCK,
    affine,
    affine_gradient,
    index_bits,
    index_columns,
    room_for,
)
from t1c.bridge.engine.kernels.threads import share
from t1c.bridge.engine.kernels.vector_sums import active, add_graded_rows, add_rows, add_run
from t1c.bridge.engine.kernels.vector_windows import pool_window

from .engine_helpers import grid, spikes, threads
from .examples import examples

GUARD = 7.0
dtypes = st.sampled_from([np.float32, np.float64])
few = examples(200)


def guarded(size, dtype):
    """Zeros between elements that must stay as they are."""
    y = np.full(size + 20, GUARD, dtype)
    y[10 : 10 + size] = 0
    return y


def assert_only(y, expected):
    """The elements between the guards, and nothing else."""
    np.testing.assert_array_equal(y[10:-10], expected)
    assert (y[:10] == GUARD).all()
    assert (y[-10:] == GUARD).all()


@few
@given(st.integers(1, 300), st.integers(0, 9), st.integers(0, 200), dtypes, st.booleans())
def test_rows_add_up(count, rows, seed, dtype, graded):
    rng = np.random.default_rng(seed)
    weight = grid(rng, 12, count + 5).astype(dtype)
    base, factors = grid(rng, count + 2).astype(dtype), grid(rng, 12, 3).astype(dtype)
    index = rng.integers(0, 12, rows + 4).astype(np.int32)
    chosen = index[2 : 2 + rows]
    y = guarded(count, dtype)
    place = (y, 10, count, base, 2, weight.reshape(-1), 5, count + 5, index, 2, 2 + rows)
    if graded:
        add_graded_rows(*place, factors.reshape(-1), 1, 3)
        own = factors[chosen, 1][:, None] * weight[chosen, 5:]
    else:
        add_rows(*place, seed % 2 == 0)
        own = weight[chosen, 5:]
    assert_only(y, base[2:] + own.sum(0))


@few
@given(st.integers(1, 70), st.integers(0, 200), dtypes, st.sampled_from([1.0, -0.5]))
def test_runs_add_up(count, seed, dtype, factor):
    weight = grid(np.random.default_rng(seed), count + 3).astype(dtype)
    y = guarded(count, dtype)
    add_run(y, 10, count, weight, 3, dtype(factor))
    assert_only(y, factor * weight[3:])


@few
@given(st.integers(0, 70), st.integers(0, 200), dtypes, st.booleans())
def test_what_is_active_is_found(width, seed, dtype, graded):
    rng = np.random.default_rng(seed)
    x = spikes(rng, width + 2, graded=graded).astype(dtype)
    index = np.full(width + 12, -1, np.int32)
    n, plain = active(x, 2, width, index, 3)
    (expected,) = np.nonzero(x[2:])
    np.testing.assert_array_equal(index[3:n], expected)
    assert plain == (x[2:][expected] == 1).all()
    assert (index[:3] == -1).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_what_is_not_a_number_is_active_and_a_negative_zero_is_not(dtype):
    x = np.array([np.nan, -0.0, np.inf, 0.0, 1.0, -np.inf, 0.0, 0.0, np.nan, -0.0], dtype)
    index = np.zeros(20, np.int32)
    n, plain = active(x, 0, len(x), index, 0)
    np.testing.assert_array_equal(index[:n], [0, 2, 4, 5, 8])
    assert not plain


@few
@given(
    st.integers(1, 30),
    st.tuples(st.integers(1, 3), st.integers(1, 4)),
    st.integers(0, 200),
    dtypes,
    st.booleans(),
)
def test_windows_are_pooled(channels, window, seed, dtype, mean):
    high, wide = window
    x = np.random.default_rng(seed).integers(-8, 9, (5, 6, channels)).astype(dtype)
    part = x[1 : 1 + high, 2 : 2 + wide]
    y = guarded(channels, dtype)
    row = 6 * channels
    at = row + 2 * channels
    area = dtype(high * wide)
    pool_window(y, 10, channels, x.reshape(-1), at, high, wide, row, channels, mean, area)
    assert_only(y, part.sum((0, 1)) / area if mean else part.max((0, 1)))


@few
@given(
    st.tuples(st.integers(1, 150), st.integers(1, 20), st.integers(1, 140)),
    st.integers(0, 200),
    dtypes,
    st.booleans(),
)
def test_a_layer_and_its_gradient(shape, seed, dtype, graded):
    rows, inputs, outs = shape
    rng = np.random.default_rng(seed)
    x = spikes(rng, rows, inputs, graded=graded).astype(dtype)
    weight, bias = grid(rng, inputs, outs).astype(dtype), grid(rng, outs).astype(dtype)
    y = np.zeros((rows, outs), dtype)
    cut = rows // 2
    for part in ((0, cut), (cut, rows)):
        affine(*part, x, weight.reshape(-1), False, bias, y)
    np.testing.assert_array_equal(y, x @ weight + bias)
    tile = 256 // y.itemsize
    tiles = [weight[:, a : a + tile].reshape(-1) for a in range(0, outs, tile)]
    affine(0, rows, x, np.concatenate(tiles), True, bias, y)
    np.testing.assert_array_equal(y, x @ weight + bias)
    g = rng.integers(-4, 5, (rows, outs)).astype(dtype)
    gw = np.zeros((inputs, outs), dtype)
    blocks = -(-rows // BLOCK)
    begins, ends = np.empty((2, blocks, inputs), np.int32)
    plain, places = np.empty((blocks, inputs), bool), np.empty((blocks, BLOCK * inputs), np.int8)
    bits = np.packbits(x != 0, axis=1, bitorder="little")
    for kernel, of, want in ((index_columns, x, x), (index_bits, bits, x != 0)):
        for part in ((0, 1), (1, blocks)):
            kernel(*part, of, begins, ends, plain, places)
        assert (ends - begins).sum() == np.count_nonzero(x)
        for part in ((0, inputs // 2), (inputs // 2, inputs)):
            affine_gradient(*part, x, g, begins, ends, plain, places, gw)
        np.testing.assert_array_equal(gw, want.T @ g)


def summed(x, weight, bias, all_count):
    """Weighted sums from a weight (out, in) as it is."""
    rows, index, ends, plain = room_for(len(x), x.shape[1])
    assert rows == len(x)
    y = guarded(len(x) * len(weight), x.dtype)
    sums_of_columns(
        x.reshape(-1), len(x), x.shape[1], weight.reshape(-1), bias, y[10:-10], all_count,
        index, ends, plain,
    )  # fmt: skip
    assert_only(y, y[10:-10])
    return y[10:-10].reshape(len(x), -1)


@few
@given(
    st.tuples(st.integers(1, 9), st.integers(1, 160), st.integers(1, 40)),
    st.integers(0, 200),
    dtypes,
    st.booleans(),
    st.sampled_from([None, np.nan, np.inf, -np.inf]),
)
def test_columns_add_up_in_the_order_of_rows(shape, seed, dtype, graded, bad):
    """Bit for bit, on any weights; and where one is no number, as a product has it."""
    rows, inputs, outs = shape
    rng = np.random.default_rng(seed)
    x = spikes(rng, rows, inputs, graded=graded).astype(dtype)
    weight = rng.standard_normal((outs, inputs)).astype(dtype)
    bias = rng.standard_normal(outs).astype(dtype)
    expected = np.zeros((rows, outs), dtype)
    affine(0, rows, x, weight.T.reshape(-1), False, bias, expected)
    for all_count in (True, False):
        np.testing.assert_array_equal(summed(x, weight, bias, all_count), expected)
    if bad is None:
        return
    row, column = rng.integers(0, outs), rng.integers(0, inputs)
    weight[row, column] = bad
    affine(0, rows, x, weight.T.reshape(-1), False, bias, expected)
    np.testing.assert_array_equal(summed(x, weight, bias, False), expected)
    found = summed(x, weight, bias, True)
    with np.errstate(invalid="ignore"):
        product = (x[:, None, :] * weight).sum(-1)
    assert (found[:, row][x[:, column] == 0] != found[:, row][x[:, column] == 0]).all()
    np.testing.assert_array_equal(np.isnan(found), np.isnan(product))
    np.testing.assert_array_equal(np.isinf(found), np.isinf(product))
    others = np.arange(outs) != row
    np.testing.assert_allclose(found[:, others], expected[:, others], rtol=1e-4, atol=1e-4)


def in_a_fork(work, seconds=60):
    """Work in a fork of this process, which may crash or hang; whether it came to its end."""
    with warnings.catch_warnings():
        # Python, and JAX where it is there, warn that threads do not follow.
        warnings.simplefilter("ignore")
        child = os.fork()
    if not child:
        faulthandler.disable()
        failed = 1
        try:
            work()
            failed = 0
        except BaseException:
            traceback.print_exc(file=sys.__stderr__)
        finally:
            os._exit(failed)
    end = time.monotonic() + seconds
    while (ended := os.waitpid(child, os.WNOHANG)) == (0, 0):
        if time.monotonic() > end:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            return False
        time.sleep(0.01)
    return ended == (child, 0)


def at_the_end(array):
    """The array, behind which the process may not read."""
    end = mmap.PAGESIZE * (1 + array.nbytes // mmap.PAGESIZE)
    pages = mmap.mmap(-1, end + mmap.PAGESIZE)
    whole = np.frombuffer(pages, np.uint8)
    libc = ctypes.CDLL(None, use_errno=True)
    behind = ctypes.c_void_p(whole.ctypes.data + end)
    assert libc.mprotect(behind, mmap.PAGESIZE, 0) == 0
    place = whole[end - array.nbytes : end].view(array.dtype)
    place[:] = array
    return place


def read_to_the_end(dtype):
    """Call each kernel with arrays that end where a page ends."""
    for count in (*range(1, 70), 128, 200):
        w = at_the_end(np.ones(3 * count, dtype))
        y, b = at_the_end(np.zeros(count, dtype)), at_the_end(np.zeros(count, dtype))
        index = at_the_end(np.arange(3, dtype=np.int32))
        add_rows(y, 0, count, b, 0, w, 0, count, index, 0, 3, count % 2 == 0)
        assert (y == 3).all()
        add_graded_rows(y, 0, count, b, 0, w, 0, count, index, 0, 3, w[:3], 0, 1)
        add_run(y, 0, count, w, 2 * count, dtype(1))
        assert (y == 4).all()
        found = np.zeros(count + 8, np.int32)
        assert active(w, 2 * count, count, found, 0) == (count, True)
        pool_window(y, 0, count, w, 0, 1, 3, 0, count, False, dtype(3))
        pool_window(y, 0, count, w, 0, 1, 3, 0, count, True, dtype(3))
        assert (y == 1).all()
    for outs in range(1, 20):
        for width in (1, 7, 8, 63, 64, 65, 130):
            w = at_the_end(np.ones(outs * width, dtype))
            x = at_the_end(np.ones(width, dtype))
            b, y = at_the_end(np.zeros(outs, dtype)), at_the_end(np.zeros(outs, dtype))
            index = at_the_end(np.zeros(width + 8, np.int32))
            ends, plain = np.zeros(2, np.int64), np.zeros(1, np.bool_)
            for factor in (1, 2):
                x[:] = factor
                sums_of_columns(x, 1, width, w, b, y, True, index, ends, plain)
                assert (y == factor * width).all()


@pytest.mark.skipif(sys.platform != "linux", reason="protects memory as Linux does")
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_nothing_behind_an_array_is_read(dtype):
    """Arrays end where a page ends, and the next one must not be touched."""
    assert in_a_fork(lambda: read_to_the_end(dtype))
    # There the process does end.
    edge = at_the_end(np.ones(3, dtype))
    assert not in_a_fork(lambda: ctypes.string_at(edge.ctypes.data, edge.nbytes + 1))


def tell(first, last, seen):
    """A kernel that notes its ranges."""
    seen.append((first, last))


@pytest.mark.parametrize("openmp", [True, False])
@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("size", [0, 1, 7, 64])
def test_work_is_shared_out_once(openmp, count, size, monkeypatch):
    if not openmp:
        monkeypatch.setattr(room, "_openmp", lambda: None)
    seen = []
    with threads(count):
        share(tell, size, 10**9, seen, multiple=2)
    done = sorted(k for first, last in seen for k in range(first, last))
    assert done == list(range(size))
    assert all(first % 2 == 0 for first, _ in seen)


@pytest.mark.parametrize("openmp", [True, False])
def test_an_error_in_any_thread_reaches_the_caller(openmp, monkeypatch):
    if not openmp:
        monkeypatch.setattr(room, "_openmp", lambda: None)

    def fail(first, last):
        raise ValueError(f"{first} to {last}")

    with threads(2), pytest.raises(ValueError, match="to"):
        share(fail, 64, 10**9)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_a_fork_works_on():
    """OpenMP's threads do not follow into a fork, where its next region would wait for ever."""

    def shared():
        seen = []
        share(lambda first, last: seen.append((first, last)), 64, 10**9)
        return sorted(seen)

    def same():
        assert shared() == seen

    with threads(2):
        seen = shared()
        assert len(seen) > 1
        assert in_a_fork(same)


def test_torch_and_the_engine_use_the_same_threads():
    """On the wheels of PyPI for Linux; elsewhere a pool of threads serves."""
    if sys.platform != "linux" or "OpenMP" not in torch.__config__.parallel_info():
        pytest.skip("torch has other threads here")
    assert room._openmp() is not None


@pytest.mark.slow
def test_a_kernel_is_compiled_again_when_one_that_it_calls_in_another_file_changes(tmp_path):
    """Numba looks at the file of the caller only, and keeps what is called with it."""
    package = tmp_path / "kernels"
    package.mkdir()
    (package / "__init__.py").write_text("")
    for part in ("compiled.py", "on_disk.py"):
        (package / part).write_text(Path(compiled.__file__).with_name(part).read_text())
    of = "from .compiled import compiled\n"
    called = f"{of}\n\n@compiled\ndef step(x):\n    return x + 1\n"
    (package / "called.py").write_text(called)
    caller = "from .called import step\n\n\n@compiled\ndef run(x):\n    return step(x) * 2\n"
    (package / "caller.py").write_text(of + caller)
    code = """
        import pathlib, sys
        for _ in range(2):
            from kernels.caller import run
            print(run(3), sum(run.stats.cache_hits.values()))
            for name in [name for name in sys.modules if name.startswith("kernels")]:
                del sys.modules[name]
            path = pathlib.Path("kernels", "called.py")
            path.write_text(path.read_text().replace("x + 1", "x + 5"))
    """

    def found():
        run = [sys.executable, "-B", "-c", textwrap.dedent(code)]
        told = subprocess.run(run, cwd=tmp_path, capture_output=True, text=True, check=True)
        return told.stdout.splitlines()

    assert found() == ["8 0", "16 0"]
    assert found() == ["16 1", "16 1"], "what another process has kept"
