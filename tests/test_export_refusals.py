"""What cannot be expressed never yields a graph: every refusal, and what it says."""

import numpy as np
import pytest
import snntorch as snn
import torch
from torch import nn
from torch.nn import functional as F

from t1c.ir.errors import InputError, NodeError, T1CError, UnsupportedError

from .export_helpers import bridge, ir

HERE = "test_export_refusals.py:"


class Wrapped(nn.Module):
    """A model whose forward is a function."""

    def __init__(self, function, **modules):
        super().__init__()
        self.function = function
        for name, module in modules.items():
            self.add_module(name, module)

    def forward(self, *args):
        return self.function(self, *args)


def refusal(function, sample=None, error=UnsupportedError, where=True, **modules):
    sample = torch.rand(2, 4, 6, 6) if sample is None else sample
    with pytest.raises(error) as caught:
        bridge.to_ir(Wrapped(function, **modules).eval(), sample)
    message = str(caught.value)
    assert HERE in message or not where
    return message


OPERATIONS = {
    "sin": lambda m, x: torch.sin(x),
    "mean": lambda m, x: x.mean((2, 3)),
    "permute": lambda m, x: x.permute(0, 2, 3, 1),
    "unsqueeze": lambda m, x: x.unsqueeze(1),
    "hardswish": lambda m, x: F.hardswish(x),
    "relu6": lambda m, x: F.relu6(x),
    "bernoulli": lambda m, x: torch.bernoulli(x),
    "where": lambda m, x: torch.where(x > 0, x, 0 * x),
    "getitem": lambda m, x: x[:, :2],
    "__get__": lambda m, x: x.mT,
    "max_pool1d": lambda m, x: F.max_pool1d(x.flatten(2), 2),
    "a product of two values": lambda m, x: x * x,
    "a division": lambda m, x: x / 3,
    "addition with the number 1": lambda m, x: x + 1,
    "addition with alpha": lambda m, x: torch.add(x, x, alpha=2),
    "which does not come from the input": lambda m, x: x + torch.ones_like(x),
    "are broadcast": lambda m, x: x + F.max_pool2d(x, 6),
    "a factor that changes the shape": lambda m, x: x * torch.ones(3, 1, 1, 1, 1),
    "along the batch": lambda m, x: torch.cat([x, x]),
    "a cut along the batch": lambda m, x: torch.cat(x.chunk(2), 1),
    "a reshape": lambda m, x: x.view(2, 6, 4, 6),
    "batch alone": lambda m, x: x.view(-1),
    "becomes torch.float64": lambda m, x: x.double(),
    "drops in eval mode": lambda m, x: F.dropout(x),
    "adaptive pooling of (6, 6) to (4, 4)": lambda m, x: F.adaptive_avg_pool2d(x, 4),
    "mode='bicubic'": lambda m, x: F.interpolate(x, scale_factor=2, mode="bicubic"),
    "scale_factor=1.3": lambda m, x: F.interpolate(x, scale_factor=1.3),
    "divisor_override": lambda m, x: F.avg_pool2d(x, 2, divisor_override=1),
    "softmax over the batch": lambda m, x: F.softmax(x, 0),
}


@pytest.mark.parametrize("name", OPERATIONS)
def test_operation(name):
    message = refusal(OPERATIONS[name])
    words = name if name in message else name.strip("_")
    assert words in message


def test_an_operation_names_the_way_out():
    assert "custom_map" in refusal(OPERATIONS["sin"])


def test_what_does_not_reach_the_output_may_be_anything():
    def forward(model, x):
        model.rate = torch.sin(x).mean()
        return F.relu(x)

    graph = bridge.to_ir(Wrapped(forward), torch.zeros(1, 3))
    assert list(graph.nodes) == ["input", "relu", "output"]


READERS = {
    "bool": lambda m, x: x if x.sum() > 0 else -x,
    "item": lambda m, x: x * x.max().item(),
    "float": lambda m, x: x * float(x[0, 0, 0, 0]),
    "numpy": lambda m, x: torch.from_numpy(np.sin(x.numpy())),
    "tolist": lambda m, x: x * len(x.flatten().tolist()),
}


@pytest.mark.parametrize("name", READERS)
def test_reading_values(name):
    message = refusal(READERS[name])
    assert "reads the values" in message
    assert name in message


def test_flags_shapes_and_none_are_free():
    def forward(model, x, extra=None, flag=True):
        if extra is None and flag and x.shape[1] == 4 and x.dim() == 2 and len(x):
            x = model.fc(x) if x.is_floating_point() else x
        repr(x)
        return x

    graph = bridge.to_ir(Wrapped(forward, fc=nn.Linear(4, 2)), torch.zeros(1, 4))
    assert "fc" in graph.nodes


# In place --------------------------------------------------------------------------------------


def test_a_value_overwritten_through_a_view():
    def forward(model, x):
        y = F.relu(x)
        flat = y.view(2, -1)
        flat *= 2
        return y

    assert "overwritten in place" in refusal(forward)


def test_a_value_overwritten_through_data():
    """A write through .data leaves no trace in what it wrote to."""

    def forward(m, x):
        y = m.fc(x)
        y.data.mul_(3)
        return y

    message = refusal(forward, torch.rand(2, 4), fc=nn.Linear(4, 4))
    assert ".data of what 'fc' returned" in message
    assert ".detach()" in message


def test_a_value_overwritten_by_an_index():
    def forward(model, x):
        y = F.relu(x)
        y[0] = 0
        return y

    assert "overwritten in place" in refusal(forward)


FILLED = {
    "by index": lambda m, x, z: z.__setitem__((slice(None), 0), x[:, 0]),
    "by copy_": lambda m, x, z: z.copy_(x),
    "through a view": lambda m, x, z: z[:].copy_(x),
}


@pytest.mark.parametrize("how", FILLED)
def test_a_constant_that_was_filled_in_is_none(how):
    """With one sample it has the shape of a scale."""

    def forward(model, x):
        z = torch.zeros(1, 4)
        FILLED[how](model, x, z)
        return x * z

    message = refusal(forward, torch.rand(1, 4))
    assert "a product of two values" in message


def test_a_result_that_was_filled_in():
    def forward(model, x):
        out = torch.zeros(len(x), 1, 4)
        mem = None
        for t, x_t in enumerate(x):
            out[t], mem = model.lif(x_t, mem)
        return out

    message = refusal(forward, torch.rand(3, 1, 4), lif=snn.Leaky(0.5))
    assert "writes into a tensor" in message
    assert "torch.stack" in message


@pytest.mark.parametrize("operation", [torch.add, torch.mul])
def test_random_numbers_are_no_constants(operation):
    message = refusal(lambda m, x: operation(x, torch.rand(1, 4)), torch.rand(1, 4))
    assert "random" in message or "product of two" in message


def test_a_constant_that_is_filled_with_numbers_is_one():
    def forward(model, x):
        return x * torch.empty(4).fill_(0.5)

    graph = bridge.to_ir(Wrapped(forward), torch.rand(1, 4))
    assert graph.nodes["mul"].scale.tolist() == [0.5] * 4


def test_in_inference_mode():
    with torch.inference_mode():
        model = nn.Sequential(nn.Linear(4, 3), nn.ReLU())
        graph = bridge.to_ir(model, torch.rand(1, 4))
    assert list(graph.nodes) == ["input", "0", "1", "output"]


# Modules ---------------------------------------------------------------------------------------

MODULES = {
    "padding_mode='reflect'": nn.Conv2d(4, 2, 3, padding=1, padding_mode="reflect"),
    "return_indices": nn.MaxPool2d(2, return_indices=True),
    "track_running_stats=False": nn.BatchNorm2d(4, track_running_stats=False),
    "momentum=None": nn.BatchNorm2d(4, momentum=None),
    "start_dim=0": nn.Flatten(0),
    "instance_norm": nn.InstanceNorm2d(4),
    "hardswish": nn.Hardswish(),
    "pixel_shuffle": nn.PixelShuffle(2),
}


@pytest.mark.parametrize("name", MODULES)
def test_module(name):
    def forward(model, x):
        y = model.layer(x)
        return y[0] if isinstance(y, tuple) else y

    message = refusal(forward, layer=MODULES[name])
    assert name in message


def test_a_subclass_with_a_forward_of_its_own_is_not_its_parent():
    class Odd(nn.Linear):
        def forward(self, x):
            return torch.sin(super().forward(x))

    assert "sin" in refusal(lambda m, x: m.fc(x), torch.rand(1, 4), fc=Odd(4, 2))


def test_a_subclass_that_masks_its_weight_exports_what_it_does():
    class Masked(nn.Linear):
        def forward(self, x):
            return F.linear(x, self.weight * 0.5, self.bias)

    layer = Masked(4, 2)
    graph = bridge.to_ir(Wrapped(lambda m, x: m.fc(x), fc=layer), torch.rand(1, 4))
    assert np.array_equal(graph.nodes["fc.linear"].weight, layer.weight.detach().numpy() * 0.5)


def test_forward_hooks():
    layer = nn.Linear(4, 2)
    layer.register_forward_hook(lambda module, given, output: output * 2)
    assert "hook" in refusal(lambda m, x: m.fc(x), torch.rand(1, 4), fc=layer)


def test_a_recurrent_layer_of_torch():
    message = refusal(
        lambda m, x: m.rnn(x)[0], torch.rand(2, 3, 4), rnn=nn.LSTM(4, 5, batch_first=True)
    )
    assert "lstm" in message


# State -----------------------------------------------------------------------------------------


def test_a_membrane_used_as_a_value():
    def forward(model, x):
        _, mem = model.lif(x)
        return model.fc(mem)

    message = refusal(forward, torch.rand(1, 4), lif=snn.Leaky(0.5), fc=nn.Linear(4, 2))
    assert "the state of 'lif'" in message
    assert "reset_mechanism='none'" in message


def test_nothing_but_membranes():
    message = refusal(lambda m, x: m.lif(x)[1], torch.rand(1, 4), lif=snn.Leaky(0.5), where=False)
    assert "nothing but states" in message


def test_a_state_of_another_neuron():
    def forward(model, x):
        _, mem = model.a(x)
        return model.b(x, mem)[0]

    message = refusal(forward, torch.rand(1, 4), a=snn.Leaky(0.5), b=snn.Leaky(0.5))
    assert "the state of 'a'" in message


def test_a_state_that_was_changed():
    def forward(model, x):
        _, mem = model.a(x)
        return model.a(x, mem * 0.5)[0]

    assert "as its state" in refusal(forward, torch.rand(1, 4), a=snn.Leaky(0.5))


def test_a_state_that_is_not_zero():
    def forward(model, x):
        return model.a(x, torch.ones_like(x))[0]

    assert "not zero" in refusal(forward, torch.rand(1, 4), a=snn.Leaky(0.5))


def test_a_state_that_is_not_zero_before_the_first_of_several_steps():
    def loop(m, xs):
        mem, out = torch.ones(2, 4), []
        for x in xs:
            spk, mem = m.lif(x, mem)
            out.append(spk)
        return torch.stack(out)

    message = refusal(loop, torch.rand(3, 2, 4), lif=snn.Leaky(0.5))
    assert "a neuron starts from a state that is not zero" in message


def test_a_state_used_twice():
    def forward(model, x):
        first, mem = model.a(x)
        left, _ = model.a(x, mem)
        right, _ = model.a(first, mem)
        return left + right

    assert "a second time" in refusal(forward, torch.rand(1, 4), a=snn.Leaky(0.5))


def test_half_of_a_state():
    def forward(model, x):
        _, syn, mem = model.a(x)
        spk, _, _ = model.a(x, syn, torch.zeros_like(mem))
        return spk

    assert "different steps" in refusal(forward, torch.rand(1, 4), a=snn.Synaptic(0.5, 0.5))


# Loops -----------------------------------------------------------------------------------------


def loop(step, start=None):
    """A model that calls ``step(model, x_t, t, spk)`` between a layer and a neuron."""

    def forward(model, x):
        spk, mem, out = (start or torch.zeros)(x.shape[1], 4), None, []
        for t in range(len(x)):
            spk, mem = model.lif(step(model, x[t], t, spk, x), mem)
            out.append(spk)
        return torch.stack(out)

    return forward


LOOPS = {
    "'mul'": lambda m, x, t, spk, xs: x * (0.5 + t),
    "'fc'": lambda m, x, t, spk, xs: m.fc(x) if t else x,
    "input 0 at step 4": lambda m, x, t, spk, xs: xs[4],
    "and 'other'": lambda m, x, t, spk, xs: m.other(x) if t == 4 else m.fc(x),
    "'relu'": lambda m, x, t, spk, xs: F.relu(x) if t == 2 else x,
}


@pytest.mark.parametrize("name", LOOPS)
def test_steps_that_differ(name):
    message = refusal(
        loop(LOOPS[name]),
        torch.rand(5, 1, 4),
        where=False,
        lif=snn.Leaky(0.5),
        fc=nn.Linear(4, 4),
        other=nn.Linear(4, 4),
    )
    assert "steps" in message
    assert "and 4 of the loop differ" in message
    assert name in message


def test_steps_along_two_dimensions():
    """With as many steps as samples their shapes would not tell."""

    def loop(m, xs):
        mem, out = None, []
        for t in range(3):
            spk, mem = m.lif(m.fc(xs[t]) + m.fc(xs[:, t]), mem)
            out.append(spk)
        return torch.stack(out)

    modules = {"fc": nn.Linear(4, 4), "lif": snn.Leaky(0.5)}
    assert "sequence and as a whole" in refusal(loop, torch.rand(3, 3, 4), where=False, **modules)


def test_a_swapped_input_as_a_whole():
    message = refusal(lambda m, x: m.fc(x.transpose(0, 1)), torch.rand(3, 2, 4), fc=nn.Linear(4, 4))
    assert "first two dimensions swapped" in message


@pytest.mark.filterwarnings("ignore:.*torch.jit")
def test_what_torch_jit_compiled():
    model = torch.jit.trace(nn.Linear(4, 3), torch.rand(1, 4))
    with pytest.raises(UnsupportedError, match=r"compiled by torch\.jit"):
        bridge.to_ir(model, torch.rand(1, 4))
    assert "module 'fc' is compiled" in refusal(lambda m, x: m.fc(x), torch.rand(1, 4), fc=model)


@pytest.mark.parametrize("operation", ["squeeze_", "transpose_"])
def test_a_shape_that_is_changed_in_place(operation):
    def forward(m, x):
        y = m.conv(x)
        dims = (1,) if operation == "squeeze_" else (2, 3)
        return getattr(y, operation)(*dims)

    assert operation in refusal(forward, torch.rand(2, 2, 4, 4), conv=nn.Conv2d(2, 1, 1))


@pytest.mark.filterwarnings("ignore:Lazy modules")
def test_parameters_without_values():
    lazy = nn.Sequential(nn.LazyLinear(3), nn.ReLU())
    empty = nn.Sequential(nn.Linear(4, 3, device="meta"))
    for model in (lazy, empty):
        with pytest.raises(UnsupportedError, match=r"'0\.weight' has no values yet"):
            bridge.to_ir(model, torch.rand(1, 4))
    assert type(lazy[0]) is nn.LazyLinear
    lazy(torch.rand(1, 4))
    assert bridge.to_ir(lazy, torch.rand(1, 4)).nodes["0"].weight.shape == (3, 4)


def test_autocast():
    def forward(m, x):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return m.fc(x)

    message = refusal(forward, torch.rand(1, 4), fc=nn.Linear(4, 4))
    assert "torch.float32 into torch.bfloat16" in message


def test_a_past_input():
    message = refusal(
        loop(lambda m, x, t, spk, xs: xs[max(t - 1, 0)]),
        torch.rand(5, 1, 4),
        where=False,
        lif=snn.Leaky(0.5),
    )
    assert "input 0 at step 3" in message


def test_parameters_that_change_between_steps():
    def step(model, x, t, spk, xs):
        with torch.no_grad():
            model.fc.weight.mul_(0.5)
        return model.fc(x)

    message = refusal(
        loop(step), torch.rand(5, 1, 4), where=False, lif=snn.Leaky(0.5), fc=nn.Linear(4, 4)
    )
    assert "the parameters of 'fc' were changed" in message


def test_feedback_that_does_not_start_from_zero():
    message = refusal(
        loop(lambda m, x, t, spk, xs: x + spk, start=torch.ones),
        torch.rand(5, 1, 4),
        where=False,
        lif=snn.Leaky(0.5),
    )
    assert "before the first step is not zero" in message


def test_a_value_from_two_steps_back():
    def forward(model, x):
        sent, mem = [torch.zeros(1, 4), torch.zeros(1, 4)], None
        for x_t in x:
            spk, mem = model.lif(x_t + sent[-2], mem)
            sent.append(spk)
        return torch.stack(sent[2:])

    message = refusal(forward, torch.rand(5, 1, 4), lif=snn.Leaky(0.5))
    assert "sent in step 2" in message
    assert "Delay" in message


def test_a_sum_over_time():
    def forward(model, x):
        total, mem = 0, None
        for x_t in x:
            spk, mem = model.lif(x_t, mem)
            total = total + spk
        return total

    message = refusal(forward, torch.rand(5, 1, 4), lif=snn.Leaky(0.5))
    assert "torch.stack" in message


def test_work_on_the_stack():
    step = loop(lambda m, x, t, spk, xs: x)
    message = refusal(lambda m, x: step(m, x).sum(0), torch.rand(5, 1, 4), lif=snn.Leaky(0.5))
    assert "sum works on all time steps at once" in message
    assert "Return the stack" in message


def test_a_layer_on_the_stack():
    step = loop(lambda m, x, t, spk, xs: x)
    message = refusal(
        lambda m, x: m.fc(step(m, x)), torch.rand(5, 1, 4), lif=snn.Leaky(0.5), fc=nn.Linear(4, 4)
    )
    assert "all time steps at once" in message


def test_neurons_that_take_different_steps():
    def forward(model, x):
        spk, mem = model.a(x)
        spk, mem = model.a(x, mem)
        return model.b(spk)[0]

    message = refusal(forward, torch.rand(1, 4), a=snn.Leaky(0.5), b=snn.Leaky(0.5))
    assert "'b' takes 1 steps" in message


def test_half_of_the_input():
    def forward(model, x):
        mem, out = None, []
        for t in range(3):
            spk, mem = model.lif(x[t], mem)
            out.append(spk)
        return torch.stack(out)

    message = refusal(forward, torch.rand(5, 1, 4), where=False, lif=snn.Leaky(0.5))
    assert "3 of the 5 steps" in message


def test_half_of_the_output():
    step = loop(lambda m, x, t, spk, xs: x)

    def forward(model, x):
        return torch.stack(list(step(model, x).unbind())[:1])

    assert refusal(forward, torch.rand(5, 1, 4), lif=snn.Leaky(0.5))


def test_a_shared_neuron_without_a_state_of_its_own():
    """snnTorch's neuron goes on from its last membrane: this is no pair of neurons."""

    def forward(model, x):
        return model.lif(model.b(model.lif(model.a(x))[0]))[0]

    message = refusal(
        forward,
        torch.rand(1, 4),
        where=False,
        lif=snn.Leaky(0.5),
        a=nn.Linear(4, 4),
        b=nn.Linear(4, 4),
    )
    assert "steps 0 and 1" in message


def test_encoding_inside_of_the_model():
    from snntorch import spikegen

    message = refusal(lambda m, x: spikegen.rate(x, num_steps=3), torch.rand(2, 4))
    assert "draws random numbers" in message


# The call --------------------------------------------------------------------------------------


def test_a_sample_that_is_no_tensor():
    with pytest.raises(InputError, match="a sample of type list"):
        bridge.to_ir(nn.ReLU(), [1, 2])


def test_an_output_that_is_a_constant():
    message = refusal(lambda m, x: torch.ones(1, 3), where=False)
    assert "does not come from the input" in message


def test_custom_map_wins_and_is_checked():
    class Odd(nn.Module):
        def forward(self, x):
            return torch.sin(x) * 0

    model = nn.Sequential(nn.Linear(4, 3), Odd())
    zero = ir.Scale(np.zeros(1))
    graph = bridge.to_ir(model, torch.zeros(1, 4), custom_map={Odd: lambda m: zero})
    assert graph.nodes["1"].equals(zero)
    as_function = bridge.to_ir(
        model, torch.zeros(1, 4), custom_map=lambda m: zero if isinstance(m, Odd) else None
    )
    assert as_function.equals(graph)
    over = bridge.to_ir(
        model,
        torch.zeros(1, 4),
        {nn.Linear: lambda m: ir.Linear(np.ones((3, 4))), Odd: lambda m: zero},
    )
    assert over.nodes["0"].primitive == "Linear"
    for wrong in (3, None):
        with pytest.raises(NodeError, match="custom_map returned"):
            bridge.to_ir(model, torch.zeros(1, 4), {Odd: lambda m, w=wrong: w})


def test_custom_map_for_a_neuron_of_ones_own():
    class Neuron(nn.Module):
        def forward(self, x, v=None):
            v = x if v is None else v + x
            spk = (v >= 1).float()
            return spk, v * (1 - spk)

    def forward(model, x):
        v, out = None, []
        for x_t in x:
            spk, v = model.neuron(x_t, v)
            out.append(spk)
        return torch.stack(out)

    model = Wrapped(forward, neuron=Neuron())
    xs = torch.randint(0, 3, (20, 2, 4)) / 4
    graph = bridge.to_ir(model, xs, {Neuron: lambda m: ir.IF(np.ones(1))})
    assert torch.equal(bridge.ir_to_torch(graph).run(xs)[0], model(xs))


def test_the_model_is_left_as_it_was():
    model = nn.Sequential(nn.BatchNorm1d(4), nn.Dropout(), nn.Linear(4, 2)).train()
    model[1].eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(T1CError):
        bridge.to_ir(nn.Sequential(model, nn.Hardswish()), torch.rand(3, 4))
    bridge.to_ir(model, torch.rand(3, 4))
    assert [m.training for m in model] == [True, False, True]
    assert all(torch.equal(v, before[n]) for n, v in model.state_dict().items())
    assert torch.is_grad_enabled()
    assert model(torch.rand(3, 4)).requires_grad
