"""What training takes statistics of and how long a mask stays: fields, marks, chunks, refusals."""

import copy
import itertools
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import t1c.bridge
import t1c.ir
import t1c.nir
from t1c.ir.errors import InputError, UnsupportedError

from .export_helpers import written

# Tests look into nodes and modules whose types they know: seen through these, all are Any.
bridge: Any = t1c.bridge
ir: Any = t1c.ir
nir: Any = t1c.nir

T, B, C = 6, 4, 5
ONES, ZEROS = np.ones(C), np.zeros(C)


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)


def norm(**fields: Any) -> Any:
    given = np.linspace(0.5, 1.5, C)
    return ir.BatchNorm1d(C, given, given - 1, ZEROS, ONES, momentum=0.25, **fields)


def lif(threshold: float = 0.25) -> Any:
    return ir.LIF(2.0 * np.ones(1), np.ones(1), np.zeros(1), threshold * np.ones(1))


def chain(*nodes: Any, hold: int | None = None) -> Any:
    named = {f"n{i}": node for i, node in enumerate(nodes)}
    named = {"input": ir.Input((C,), hold=hold), **named, "output": ir.Output((C,))}
    names = list(named)
    return ir.Graph(named, list(itertools.pairwise(names)))


def trained(graph: Any, **options: Any) -> Any:
    return bridge.ir_to_torch(graph, dtype=torch.float64, **options).train()


def drawn(*shape: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


# Statistics --------------------------------------------------------------------------------------


def by_hand(xs: torch.Tensor, parts: list[torch.Tensor]) -> tuple[torch.Tensor, ...]:
    """A norm in training, from the formula: outputs, running mean and variance."""
    weight = torch.linspace(0.5, 1.5, C, dtype=torch.float64)
    mean, var = torch.zeros(C, dtype=torch.float64), torch.ones(C, dtype=torch.float64)
    outs = []
    for part in parts:
        rows = part.reshape(-1, C)
        m = rows.sum(0) / len(rows)
        squares = ((rows - m) ** 2).sum(0)
        mean = 0.75 * mean + 0.25 * m
        var = 0.75 * var + 0.25 * squares / (len(rows) - 1)
        y = (rows - m) / (squares / len(rows) + 1e-5).sqrt() * weight + (weight - 1)
        outs.append(y.reshape(part.shape))
    return torch.cat(outs).reshape(-1, *xs.shape[1:]), mean, var


@pytest.mark.parametrize(("statistics", "moves"), [("step", T), ("sequence", 1)])
def test_statistics_by_hand(statistics, moves):
    executor = trained(chain(norm(statistics=statistics)))
    xs = drawn(T, B, C)
    found, _ = executor.run(xs)
    wanted, mean, var = by_hand(xs, [xs] if moves == 1 else list(xs.split(1)))
    torch.testing.assert_close(found, wanted, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(executor.n0.running_mean, mean, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(executor.n0.running_var, var, rtol=1e-12, atol=1e-12)
    assert executor.n0.num_batches_tracked == moves


def test_statistics_once_of_a_held_value():
    executor = trained(chain(norm(statistics="once"), lif(), hold=T))
    x = drawn(B, C)
    values = executor.trace(x)
    wanted, mean, var = by_hand(x, [x])
    assert values["n0"].shape == (T, B, C)
    for y in values["n0"]:
        torch.testing.assert_close(y, wanted, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(executor.n0.running_mean, mean, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(executor.n0.running_var, var, rtol=1e-12, atol=1e-12)
    assert executor.n0.num_batches_tracked == 1
    assert values["n1"].sum() > 5


def test_statistics_of_the_last_step():
    executor = trained(chain(norm(statistics="last")))
    xs = drawn(T, B, C)
    found, _ = executor.run(xs)
    wanted, *_ = by_hand(xs, list(xs.split(1)))
    _, mean, var = by_hand(xs[-1:], [xs[-1:]])
    torch.testing.assert_close(found, wanted, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(executor.n0.running_mean, mean, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(executor.n0.running_var, var, rtol=1e-12, atol=1e-12)
    assert executor.n0.num_batches_tracked == 1
    assert executor.run(xs[:0])[0].shape == (0, B, C)


def test_a_held_value_is_no_sequence_of_one():
    """All steps are counted where the network was given them, though they are alike."""
    executor = trained(chain(norm(statistics="sequence"), hold=T))
    x = drawn(B, C)
    executor.run(x)
    _, mean, var = by_hand(x, [x.expand(T, B, C)])
    torch.testing.assert_close(executor.n0.running_mean, mean, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(executor.n0.running_var, var, rtol=1e-12, atol=1e-12)


def test_chunks_give_the_same_or_are_refused():
    xs = 2 * drawn(200, B, C)

    def learnt(graph: Any, **options: Any) -> list[torch.Tensor]:
        executor = trained(graph)
        out, _ = executor.run(xs, **options)
        (out * drawn(*out.shape, seed=1)).sum().backward()
        return [out, executor.n0.weight.grad, *executor.n0.buffers()]

    graph = chain(norm(statistics="sequence"), lif())
    whole = learnt(graph)
    assert whole[0].sum() > 100
    assert all(map(torch.equal, learnt(graph, chunk=200), whole))
    assert all(map(torch.equal, learnt(graph, truncate=True), whole))
    with pytest.raises(InputError, match=r"chunks of 7 of 200 steps.*\n?.*'n0'"):
        learnt(graph, chunk=7)
    with pytest.raises(InputError, match=r"an iterator; expected the whole sequence"):
        trained(graph).run(iter(xs))
    steps = [learnt(chain(norm(), lif()), chunk=chunk) for chunk in (200, 7, 1)]
    for other in steps[1:]:
        for a, b in zip(other, steps[0], strict=True):
            torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)
    # In eval mode all ways are one.
    executor = trained(graph).eval()
    with torch.no_grad():
        assert torch.equal(executor.run(xs, chunk=7)[0], executor.run(xs)[0])
        assert torch.equal(executor.run(iter(xs))[0], executor.run(xs)[0])


def test_a_long_sequence_is_one_chunk():
    """Far more than what is worked at once otherwise."""
    xs = drawn(3000, 64, C)
    executor = trained(chain(norm(statistics="sequence")))
    executor.run(xs)
    wanted = xs.reshape(-1, C).mean(0) * 0.25
    torch.testing.assert_close(executor.n0.running_mean, wanted, rtol=1e-9, atol=1e-12)
    assert executor.n0.num_batches_tracked == 1
    assert executor.explain().chunk == 3000


@pytest.mark.parametrize("statistics", ["sequence", "once", "last"])
def test_a_step_alone_is_refused(statistics):
    executor = trained(chain(norm(statistics=statistics), lif()))
    with pytest.raises(UnsupportedError, match=r"'n0' \(BatchNorm1d\).*one step alone") as caught:
        executor(drawn(B, C))
    assert "batchnorm='step'" in str(caught.value)
    assert executor.n0.num_batches_tracked == 0
    assert executor.eval()(drawn(B, C)).shape == (B, C)


def test_a_loop_is_refused():
    """Statistics of all steps decide what the loop sends, on which they depend."""
    nodes = {"input": ir.Input((C,)), "norm": norm(statistics="sequence"), "lif": lif()}
    edges = [("input", "norm"), ("norm", "lif"), ("lif", "norm"), ("lif", "output")]
    graph = ir.Graph({**nodes, "output": ir.Output((C,))}, edges, allow_cycles=True)
    with pytest.raises(UnsupportedError, match=r"'norm'.*lies in no loop"):
        trained(graph).run(drawn(T, B, C))
    found, _ = trained(graph, batchnorm="step").run(2 * drawn(T, B, C))
    assert found.sum() > 5
    assert bridge.ir_to_torch(graph).run(torch.ones(T, B, C))[0].sum() > 5


def test_once_of_what_changes_is_refused():
    executor = trained(chain(norm(statistics="once"), hold=T))
    with pytest.raises(UnsupportedError, match=r"'n0'.*may change from step to step"):
        executor.run(drawn(T, B, C))
    assert executor.n0.num_batches_tracked == 0


# The caller's choice -----------------------------------------------------------------------------


def moved(executor: Any) -> list[int]:
    xs = drawn(T, B, C)
    found, _ = executor.run(xs)
    found.sum().backward()
    norms = [m for m in executor.modules() if isinstance(m, nn.BatchNorm1d)]
    assert all(m.weight.grad is not None for m in norms)
    return [int(m.num_batches_tracked or 0) for m in norms]


@pytest.mark.parametrize(
    ("batchnorm", "moves"),
    [("recorded", [T, 1]), ("step", [T, T]), ("sequence", [1, 1]), ("frozen", [0, 0])],
)
def test_the_caller_chooses(batchnorm, moves):
    graph = chain(norm(), norm(statistics="sequence"))
    executor = trained(graph, batchnorm=batchnorm)
    assert moved(copy.deepcopy(executor)) == moves
    assert bridge.to_ir(executor, drawn(B, C)).equals(graph)


def test_frozen_norms_stay_so_within_a_larger_model():
    executor = bridge.ir_to_torch(chain(norm(), lif()), batchnorm="frozen", dtype=torch.float64)
    xs = 2 * drawn(T, B, C)
    wanted, _ = executor.run(xs)
    model = nn.Sequential(executor).train()
    assert model[0].training
    assert not executor.n0.training
    found, _ = executor.run(xs)
    assert torch.equal(found, wanted)
    assert found.sum() > 5
    found.sum().backward()
    assert executor.n0.weight.grad.abs().sum() > 0
    assert executor.n0.running_mean.abs().sum() == 0


def test_an_unknown_choice_is_refused():
    with pytest.raises(InputError, match=r"batchnorm.*'always'.*'recorded', 'step', 'sequence'"):
        bridge.ir_to_torch(chain(norm()), batchnorm="always")


def test_modules_of_a_map_are_marked_as_their_nodes_say():
    graph = chain(norm(statistics="sequence"), ir.Dropout(C, 0.5, "sequence"))
    made = {
        ir.BatchNorm1d: lambda node: nn.BatchNorm1d(C, dtype=torch.float64),
        ir.Dropout: lambda node: nn.Dropout(node.p),
    }
    executor = trained(graph, node_map=made)
    _, state = executor.run(drawn(T, B, C))
    assert executor.n0.num_batches_tracked == 1
    assert set(state) == {"n1"}


# Masks -------------------------------------------------------------------------------------------


def test_one_mask_for_all_steps():
    executor = trained(chain(ir.Dropout(C, 0.25, "sequence")))
    xs = drawn(40, 50, C) + 10
    found, state = executor.run(xs)
    kept = found != 0
    assert torch.equal(kept, kept[:1].expand_as(kept))
    assert 0.65 < float(kept[0].double().mean()) < 0.85
    (mask,) = state["n0"]
    assert torch.equal(found, xs * mask)
    assert set(mask.unique().tolist()) == {0.0, 1 / 0.75}
    other, _ = executor.run(xs)
    assert not torch.equal(other != 0, kept), "another sequence, another mask"
    # With the state handed on it goes on: in another run, in chunks, and step by step.
    again, _ = executor.run(xs, state)
    assert torch.equal(again, found)
    chunked, after = executor.run(xs, chunk=7)
    assert torch.equal((chunked != 0)[-1], (chunked != 0)[0])
    executor.return_state = True
    for x in xs[:3]:
        y, after = executor(x, after)
        assert torch.equal(y != 0, (chunked != 0)[0])


@pytest.mark.parametrize("shape", [(3, 4), (3, 4, 2), (3, 4, 2, 2)])
@pytest.mark.parametrize("mask", ["step", "sequence"])
def test_channels_fall_together(shape, mask):
    nodes = {"in": ir.Input(shape), "drop": ir.Dropout(3, 0.5, mask, "channels")}
    graph = ir.Graph({**nodes, "out": ir.Output(shape)}, [("in", "drop"), ("drop", "out")])
    executor = trained(graph)
    xs = torch.ones(T, B, *shape, dtype=torch.float64)
    channels = executor.run(xs)[0].flatten(3)
    assert torch.equal(channels, channels[..., :1].expand_as(channels))
    assert set(channels.unique().tolist()) == {0.0, 2.0}
    assert torch.equal(channels[0], channels[1]) == (mask == "sequence")
    assert torch.equal(executor.eval().run(xs)[0], xs)
    again = bridge.to_ir(nn.Sequential(executor.node("drop")), xs[0])
    assert again.nodes["0"].drops == "channels"


def test_a_mask_for_each_step():
    executor = trained(chain(ir.Dropout(C, 0.25)))
    kept = executor.run(drawn(40, 50, C) + 10)[0] != 0
    assert not torch.equal(kept[0], kept[1])
    assert executor.run(drawn(T, B, C))[1] == {}


def test_a_mask_in_eval_mode_and_of_a_held_value():
    executor = bridge.ir_to_torch(chain(ir.Dropout(C, 0.5, "sequence"), hold=T), return_state=True)
    x = torch.ones(B, C)
    found, state = executor.run(x)
    assert torch.equal(found, x.expand(T, B, C))
    assert state == executor(x)[1] == {}
    found, state = executor.train().run(x)
    assert 0 < found.count_nonzero() < found.numel()
    assert torch.equal(found, (x * state["n0"][0]).expand(T, B, C))
    assert torch.equal(executor.eval().run(x, state)[0], x.expand(T, B, C))


def test_a_mask_in_a_loop_and_its_gradient():
    nodes = {"input": ir.Input((C,)), "drop": ir.Dropout(C, 0.5, "sequence"), "lif": lif()}
    edges = [("input", "drop"), ("drop", "lif"), ("lif", "drop"), ("lif", "output")]
    graph = ir.Graph({**nodes, "output": ir.Output((C,))}, edges, allow_cycles=True)
    executor = trained(graph)
    xs = torch.ones(T, 50, C, dtype=torch.float64, requires_grad=True)
    found, state = executor.run(xs)
    (mask,) = state["drop"]
    assert torch.equal(found.sum(0) > 0, mask > 0)
    found.sum().backward()
    assert xs.grad is not None
    assert torch.equal(xs.grad.abs().sum(0) > 0, mask > 0)


def test_a_mask_that_does_not_fit_is_refused():
    executor = trained(chain(ir.Dropout(C, 0.5, "sequence")))
    with pytest.raises(InputError, match="'n0'"):
        executor.run(drawn(T, B, C), {"n0": (drawn(B, C + 1),)})


# Files -------------------------------------------------------------------------------------------


def test_the_fields_are_absent_unless_they_say_something(tmp_path):
    plain = chain(norm(), ir.Dropout(C))
    ir.write(tmp_path / "plain.t1c", plain)
    assert ir.read_version(tmp_path / "plain.t1c") == "0.0.1"
    said = chain(norm(statistics="sequence"), ir.Dropout(C, mask="sequence"), norm())
    back = written(said, tmp_path)
    assert ir.read_version(tmp_path / "model.t1c") == "0.2.0"
    assert [n.values().get("statistics") for n in back.nodes.values()][1::2] == ["sequence", "step"]
    assert back.nodes["n1"].mask == "sequence"
    assert not back.equals(plain)


def test_eval_mode_knows_nothing_of_it():
    xs = drawn(T, B, C).numpy()
    graphs = [
        chain(norm(statistics=s), ir.Dropout(C, 0.5, m), lif())
        for s, m in (("step", "step"), ("sequence", "sequence"), ("once", "step"))
    ]
    wanted = ir.Reference(graphs[0]).run(xs)[0]
    assert wanted.sum() > 5
    for graph in graphs:
        assert np.array_equal(ir.Reference(graph).run(xs)[0], wanted)
        executor = bridge.ir_to_torch(graph, dtype=torch.float64)
        assert np.array_equal(executor.run(torch.tensor(xs))[0].detach().numpy(), wanted)


def test_nir_loses_no_result_by_a_mask(tmp_path):
    graph = chain(ir.Dropout(C, 0.5, "sequence"))
    assert not nir.write(tmp_path / "mask.nir", graph, dt=1e-3)
    assert nir.read(tmp_path / "mask.nir").nodes["n0"].mask == "sequence"
    graph = chain(norm(statistics="sequence"))
    assert len(nir.write(tmp_path / "norm.nir", graph, dt=1e-3, lossy=True)) == 1
    assert nir.read(tmp_path / "norm.nir").nodes["n0"].statistics == "sequence"
