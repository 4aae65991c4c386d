"""Modules that are copied before their parameters come, beside those that torch makes."""

import pytest
import torch
from torch import nn

from t1c.bridge.modules.registry import load, unfilled

KINDS = {
    "Linear": (nn.Linear, (4, 3), {}),
    "Linear without bias": (nn.Linear, (4, 3), {"bias": False}),
    "Conv1d": (nn.Conv1d, (2, 3, (3,)), {"padding": "same"}),
    "Conv2d": (nn.Conv2d, (2, 4, (3, 5), (1, 2), (1, 0), (1, 1), 2), {}),
    "ConvTranspose2d": (nn.ConvTranspose2d, (2, 4, (3, 3)), {"dilation": (2, 2)}),
}


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_what_is_copied_and_loaded_is_what_torch_makes(name, dtype):
    kind, args, options = KINDS[name]
    made = kind(*args, **options, dtype=dtype)
    copied, other = (unfilled(kind, *args, **options, dtype=dtype) for _ in range(2))
    assert type(copied) is kind
    assert vars(copied).keys() == vars(made).keys()
    loaded = 0
    for parameter, value in made.named_parameters():
        load(copied, parameter, value.detach().numpy())
        loaded += 1
    assert loaded == len(list(made.parameters())) > 0
    for attribute, value in vars(made).items():
        mine = vars(copied)[attribute]
        assert type(mine) is type(value)
        if isinstance(value, dict | list | set):
            assert mine is not vars(other)[attribute]
        if attribute != "_parameters":
            assert mine == value
    assert made.state_dict().keys() == copied.state_dict().keys()
    for parameter, value in made.named_parameters():
        mine = copied.get_parameter(parameter)
        assert type(mine) is nn.Parameter
        assert mine.requires_grad
        assert mine.dtype == value.dtype == dtype
        assert torch.equal(mine, value)
        assert mine.data_ptr() != value.data_ptr()
    x = torch.ones(2, 4, dtype=dtype) if kind is nn.Linear else torch.ones(1, 2, 9, 9, dtype=dtype)
    x = x[:, :, 0] if kind is nn.Conv1d else x
    assert torch.equal(copied(x), made(x))
    # What was copied from has not become any of it.
    assert all(p.is_meta for p in other.parameters())


def test_hooks_of_one_are_not_those_of_another():
    one, other = unfilled(nn.Linear, 2, 2), unfilled(nn.Linear, 2, 2)
    one.register_forward_hook(lambda *_: None)
    assert len(one._forward_hooks) == 1
    assert not other._forward_hooks
    assert not unfilled(nn.Linear, 2, 2)._forward_hooks
