"""Recordings as samples: which Input takes which events, and how long a step is."""

import numpy as np
import pytest

from t1c import ir, sdk
from t1c.events import read_events
from t1c.events.fields import CHANNEL_EVENT, EVENT
from t1c.ir import InputError
from t1c.sdk.recordings import is_recording, recording_samples


def counter(*shape, **metadata):
    """A network that passes on what it is given."""
    return ir.Graph(
        {"input": ir.Input(shape=shape), "output": ir.Output(shape=shape)},
        [("input", "output")],
        metadata=metadata,
    )


@pytest.fixture
def camera(tmp_path):
    """5 x 4 pixels, two milliseconds and a bit; the first event at 7 ms."""
    rng = np.random.default_rng(0)
    events = np.empty(200, EVENT)
    events["x"], events["y"] = rng.integers(0, 5, 200), rng.integers(0, 4, 200)
    events["t"], events["p"] = 7000 + np.sort(rng.integers(0, 2300, 200)), rng.integers(0, 2, 200)
    events["t"][[0, -1]] = 7000, 9299
    np.save(tmp_path / "camera.npy", events)
    return tmp_path / "camera.npy"


def test_a_camera_fills_two_channels(camera):
    samples = recording_samples(camera, counter(2, 4, 5), dt=1e-3)
    (frames,) = samples.inputs.values()
    assert frames.shape == (3, 1, 2, 4, 5)
    assert samples.labels is None
    expected = np.zeros((3, 2, 4, 5))
    for x, y, t, p in read_events(camera).events.tolist():
        expected[(t - 7000) // 1000, int(p), y, x] += 1
    np.testing.assert_array_equal(frames[:, 0], expected)
    assert frames.sum() == 200


def test_it_runs(camera):
    samples = recording_samples(camera, counter(2, 4, 5), dt=500e-6)
    result = sdk.run(counter(2, 4, 5), samples)
    assert result.steps == 5
    assert result.out_sum["output"].sum() == 200


def test_one_channel_needs_a_choice(camera):
    both = next(iter(recording_samples(camera, counter(2, 4, 5), dt=1e-3).inputs.values()))
    for shape in ((1, 4, 5), (4, 5)):
        with pytest.raises(InputError, match="polarity='sum'"):
            recording_samples(camera, counter(*shape), dt=1e-3)
        for polarity, expected in (
            ("sum", both.sum(2)),
            ("off", both[:, :, 0]),
            ("on", both[:, :, 1]),
        ):
            samples = recording_samples(camera, counter(*shape), dt=1e-3, polarity=polarity)
            frames = samples.inputs["input"]
            assert frames.shape == (3, 1, *shape)
            np.testing.assert_array_equal(frames.reshape(3, 1, 4, 5), expected)


@pytest.mark.parametrize(
    ("shape", "options", "said"),
    [
        ((2, 4, 5), {}, "how long a step is"),
        ((2, 4, 5), {"dt": 1.5e-6}, "whole microseconds"),
        ((2, 4, 5), {"dt": 1e-7}, "whole microseconds"),
        ((2, 4, 5), {"dt": -1}, "positive number of seconds"),
        ((2, 4, 4), {"dt": 1e-3}, "an event at x=4"),
        ((40,), {"dt": 1e-3}, "events of a camera"),
        ((3, 4, 5), {"dt": 1e-3}, "events of a camera"),
        ((2, 4, 5), {"dt": 1e-3, "polarity": "on"}, "for two channels"),
    ],
)
def test_what_does_not_fit_is_refused(camera, shape, options, said):
    with pytest.raises((InputError, ir.T1CError), match=said):
        recording_samples(camera, counter(*shape), **options)


def test_the_step_of_a_nir_file_is_remembered(camera):
    graph = counter(2, 4, 5, nir={"dt": 1e-3})
    assert recording_samples(camera, graph).steps == 3
    assert recording_samples(camera, graph, dt=1e-4).steps == 23


def test_an_ear_fills_channels(tmp_path):
    events = np.array([(3, 0), (699, 1500), (3, 1501)], CHANNEL_EVENT)
    np.save(tmp_path / "ear.npy", events)
    frames = recording_samples(tmp_path / "ear.npy", counter(700), dt=1e-3).inputs["input"]
    assert np.argwhere(frames).tolist() == [[0, 0, 3], [1, 0, 3], [1, 0, 699]]
    with pytest.raises(InputError, match="events of an ear"):
        recording_samples(tmp_path / "ear.npy", counter(2, 4, 5), dt=1e-3)


def test_a_larger_sensor_is_refused(tmp_path):
    faery = pytest.importorskip("faery")
    events = np.zeros(3, faery.EVENTS_DTYPE)
    events["t"] = [0, 5, 9]
    path = tmp_path / "hand.aedat4"
    faery.events_stream_from_array(events, (346, 260)).to_file(path)
    with pytest.raises(InputError, match="346 x 260 for an Input of 5 x 4"):
        recording_samples(path, counter(2, 4, 5), dt=1e-3)
    assert recording_samples(path, counter(2, 260, 346), dt=5e-6).steps == 2


def test_recordings_are_told_from_samples(camera, tmp_path):
    np.savez(tmp_path / "samples.npz", x=np.zeros(3), y=np.zeros(3))
    events = np.load(camera)
    np.savez(tmp_path / "events.npz", **{name: events[name] for name in "txyp"})
    (tmp_path / "bad.npz").write_bytes(b"nothing")
    assert is_recording(camera)
    assert is_recording(tmp_path / "events.npz")
    assert is_recording("missing.aedat4")
    assert not is_recording(tmp_path / "samples.npz")
    assert not is_recording(tmp_path / "bad.npz")
    assert not is_recording(tmp_path / "missing.npz")
