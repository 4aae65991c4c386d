"""Plots of spikes, membranes, rates and events: what is drawn is what was given."""

import base64
import json
import re
import zlib

import matplotlib as mpl
import numpy as np
import pytest
import torch
from matplotlib import pyplot as plt

from t1c.events import events_to_frames
from t1c.events.fields import CHANNEL_EVENT, EVENT
from t1c.ir import InputError
from t1c.viz.events import export_events_html, plot_events, plot_frames
from t1c.viz.spikes import plot_membranes, plot_raster, plot_rates

mpl.use("Agg")


@pytest.fixture(autouse=True)
def no_figure_stays():
    yield
    plt.close("all")


def random_spikes(*shape, rate=0.2, seed=0):
    return (np.random.default_rng(seed).random(shape) < rate).astype(np.float32)


def marks(ax, k=0):
    """The (step, neuron) of each mark of the k-th population."""
    return {tuple(map(int, at)) for at in ax.collections[k].get_offsets().tolist()}


def test_a_raster_marks_each_spike():
    spikes = random_spikes(30, 3, 2, 4)
    ax = plot_raster(spikes, sample=2)
    expected = {tuple(at) for at in np.argwhere(spikes[:, 2].reshape(30, 8)).tolist()}
    assert len(expected) > 20
    assert marks(ax) == expected
    assert ax.get_xlabel() == "step"


def test_populations_stand_above_one_another_and_time_may_be_told():
    first, second = random_spikes(20, 1, 6), random_spikes(20, 1, 3, seed=1)
    ax = plot_raster({"lif1": torch.from_numpy(first), "lif2": second}, dt=1e-3)
    assert marks(ax, 1) == {(t, n + 6) for t, _, n in np.argwhere(second).tolist()}
    assert [tick.get_text() for tick in ax.get_yticklabels()] == ["lif1", "lif2"]
    assert ax.get_xlabel() == "time (ms)"
    some = plot_raster(first, neurons=[1, 4])
    assert marks(some) == {(t, n) for t, n in np.argwhere(first[:, 0, [1, 4]]).tolist()}


def test_axes_are_passed_in_and_returned():
    _, axes = plt.subplots(1, 3)
    values = random_spikes(10, 2, 4)
    assert plot_raster(values, axes[0]) is axes[0]
    assert plot_membranes(values, axes[1]) is axes[1]
    assert plot_rates(values, axes[2]) is axes[2]


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_tensors_of_every_kind(dtype):
    values = torch.tensor([[0.0, 0.5], [1.0, 0.25]], dtype=dtype, requires_grad=True)
    lines = plot_membranes(values).get_lines()
    assert [line.get_ydata().tolist() for line in lines] == [[0.0, 1.0], [0.5, 0.25]]


def test_membranes_thresholds_and_spikes():
    potentials = np.random.default_rng(0).normal(size=(12, 2, 7))
    spikes = random_spikes(12, 2, 7, rate=0.5)
    thresholds = np.arange(7) / 4
    ax = plot_membranes(potentials, spikes=spikes, threshold=thresholds, sample=1, neurons=[6, 2])
    curves = [line for line in ax.get_lines() if len(line.get_xdata()) == 12]
    assert [c.get_label() for c in curves] == ["6", "2"]
    np.testing.assert_array_equal(curves[0].get_ydata(), potentials[:, 1, 6])
    levels = [line.get_ydata()[0] for line in ax.get_lines() if len(line.get_xdata()) == 2]
    assert levels == [1.5, 0.5]
    fired = ax.collections[1].get_offsets()[:, 0].astype(int).tolist()
    assert fired == np.flatnonzero(spikes[:, 1, 2]).tolist() != []


def test_rates_are_means():
    spikes = random_spikes(40, 3, 5)
    (curve,) = plot_rates(spikes).get_lines()
    np.testing.assert_allclose(curve.get_ydata(), spikes.mean((1, 2)))
    (smooth,) = plot_rates(spikes, window=4, dt=0.002).get_lines()
    mean = spikes.mean((1, 2))
    expected = [mean[max(0, t - 3) : t + 1].mean() / 0.002 for t in range(40)]
    np.testing.assert_allclose(smooth.get_ydata(), expected, rtol=1e-6)
    bars = plot_rates({"lif": spikes}, over="neurons").patches
    assert bars


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: plot_raster(np.zeros(3)),
        lambda: plot_raster({}),
        lambda: plot_raster({"a": np.zeros((3, 1, 2)), "b": np.zeros((4, 1, 2))}),
        lambda: plot_raster(np.zeros((3, 2, 2)), sample=2),
        lambda: plot_raster(np.zeros((3, 2, 2)), neurons=[2]),
        lambda: plot_membranes(np.zeros((3, 2)), spikes=np.zeros((3, 4))),
        lambda: plot_membranes(np.zeros((3, 2)), threshold=np.ones(3)),
        lambda: plot_rates(np.zeros((3, 2)), over="layers"),  # type: ignore[arg-type]
        lambda: plot_rates(np.zeros((3, 2)), window=0),
        lambda: plot_frames(np.zeros((3, 5, 2, 2))),
        lambda: plot_frames(-np.ones((3, 2, 2))),
        lambda: plot_frames(np.zeros((3, 2, 2)), [None, None]),
    ],
)
def test_what_does_not_fit_is_refused(wrong):
    with pytest.raises(InputError):
        wrong()


# Events ----------------------------------------------------------------------------------------


def camera(n=3000):
    rng = np.random.default_rng(0)
    events = np.empty(n, EVENT)
    events["x"], events["y"] = rng.integers(0, 20, n), rng.integers(0, 10, n)
    events["t"], events["p"] = np.sort(rng.integers(0, 50_000, n)), rng.integers(0, 2, n)
    return events


def test_events_are_drawn_where_they_fell():
    events = camera(40)
    picture = plot_events(events, (20, 10)).get_images()[0].get_array()
    touched = np.zeros((10, 20), bool)
    touched[events["y"], events["x"]] = True
    np.testing.assert_array_equal((np.asarray(picture) != 255).any(-1), touched)
    ear = np.array([(3, 0), (9, 20)], CHANNEL_EVENT)
    assert marks(plot_events(ear)) == {(0, 3), (20, 9)}
    assert marks(plot_events(ear, start=10)) == {(20, 9)}


def test_frames_are_drawn_and_long_sequences_thinned():
    frames = events_to_frames(camera(), (20, 10), n_frames=100)
    axes = plot_frames(frames, most=10)
    assert [ax.get_title() for ax in axes] == [str(11 * k) for k in range(10)]
    shown = np.asarray(axes[3].get_images()[0].get_array())
    np.testing.assert_array_equal((shown != 255).any(-1), frames[33].sum(0) > 0)


def test_the_page_holds_the_frames_and_names_as_text(tmp_path):
    events = camera()
    path = export_events_html(events, tmp_path / "a.html", (20, 10), "<script>x</script>")
    page = path.read_text(encoding="utf-8")
    assert "<script>x" not in page
    assert "&lt;script&gt;x" in page
    assert "http" not in page.replace('http-equiv="Content', "")
    data = json.loads(re.search(r'application/json">(.*?)</script>', page, re.S).group(1))
    raw = zlib.decompress(base64.b64decode(data["frames"]))
    steps = data["steps"]
    counts = np.frombuffer(raw, "<u4", steps)
    total = int(counts.sum())
    places = np.frombuffer(raw, "<u4", total, 4 * steps)
    many = np.frombuffer(raw, "u1", total, 4 * (steps + total))
    frames = np.zeros((steps, data["channels"] * data["height"] * data["width"]))
    frames[np.repeat(np.arange(steps), counts), places] = many
    expected = events_to_frames(events, (20, 10), n_frames=100)
    np.testing.assert_array_equal(frames, expected.reshape(100, -1))
    assert frames.sum() == len(events)


def test_an_ear_has_no_page(tmp_path):
    with pytest.raises(InputError, match="plot_raster"):
        export_events_html(np.array([(3, 0)], CHANNEL_EVENT), tmp_path / "a.html")


def test_twenty_series_look_different():
    names = [f"lif{i}" for i in range(20)]
    ax = plot_rates({name: np.full((4, 1, 2), i / 20) for i, name in enumerate(names)})
    looks = {(line.get_color(), line.get_linestyle()) for line in ax.get_lines()}
    assert len(looks) == len(names)
    bars = plot_rates({name: np.ones((4, 1, 2)) for name in names}, over="neurons")
    assert len(bars.get_legend().get_texts()) == len(names)


def test_membranes_of_several_nodes_in_one_figure():
    v = {"lif1": np.arange(12.0).reshape(4, 1, 3), "lif2": -np.arange(8.0).reshape(4, 1, 2)}
    spikes = {"lif1": np.ones((4, 1, 3))}
    ax = plot_membranes(v, spikes=spikes, threshold={"lif1": 5.0, "lif2": [1.0, 2.0]})
    lines = [line for line in ax.get_lines() if len(line.get_xdata()) == 4]
    for line, name, number in zip(lines, ["lif1"] * 3 + ["lif2"] * 2, [0, 1, 2, 0, 1], strict=True):
        np.testing.assert_array_equal(line.get_ydata(), v[name][:, 0, number])
        assert line.get_label() == f"{name} {number}"
    levels = sorted(line.get_ydata()[0] for line in ax.get_lines() if len(line.get_xdata()) == 2)
    assert levels == [1.0, 2.0, 5.0]
    assert len(ax.collections) == 3  # spikes of lif1 alone
    with pytest.raises(InputError, match="spikes of 2 neurons"):
        plot_membranes(v, spikes={"lif1": np.ones((4, 1, 2))})
