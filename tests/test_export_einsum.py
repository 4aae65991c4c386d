"""torch.einsum: by letters what layers, products and permutations say."""

import math

import pytest
import snntorch as snn
import torch
from torch import nn

from t1c.ir.errors import UnsupportedError

from .export_helpers import LENGTH, SAMPLES, Wrapped, bridge, drawn, equal, types_of, whole

HERE = "test_export_einsum.py:"
SIZES = {"i": 3, "j": 2, "k": 4, "o": 5, "h": 2}


def features(letters):
    """The shape behind the batch, for an operand's letters; an ellipsis stands for two axes."""
    return tuple(SIZES[c] for c in letters.replace("b", "").replace("...", "jk"))


def parameter(letters):
    generator = torch.Generator().manual_seed(len(letters))
    shape = [SIZES[c] for c in letters]
    return nn.Parameter(torch.randint(-8, 9, shape, generator=generator) / 8)


def fired(m, x):
    """Spikes and what is left of the membranes, of neurons by hand."""
    m.v = 0.5 * m.v + x
    spk = (m.v > 1).float()
    return spk + 0.25 * m.v


def with_features(y):
    return y.unsqueeze(-1) if y.ndim == 1 else y


# equation -> the nodes that it is, but for the shapes around them
WEIGHTED = {
    "bi,oi->bo": "Linear",
    "bi,io->bo": "Linear",
    "bi,io": "Linear",
    "oi,bi->bo": "Linear",
    "bi,o->bio": "Linear",
    "bij,io->bjo": "Linear",
    "bij,io->boj": "Linear",
    "bijk,jo->biok": "Linear",
    "bij,ijo->bo": "Linear",
    "bij,jio->bo": "Linear",
    "bij,ij->b": "Linear",
    "bi,oih->boh": "Linear",
    "bi,iok->bo": "Linear",
    "bij,o->bo": "Reduce Linear",
    "b...,o->b...o": "Linear",
    "...i,io->...o": "Linear",
    "bi,i->bi": "Scale",
    "bij,i->bij": "Scale",
    "bij,j->bji": "Scale",
    "bij,ok->bij": "Scale",
    "bi,->bi": "Scale",
    "bhi,hio->bho": "Conv1d",
    "bhik,hio->bhok": "Conv1d",
    "bihk,oih->bhok": "Conv1d",
    "bijk,jko->bijo": "Conv1d",
}
SHAPES = ("Transpose", "Reshape", "Flatten", "Slice", "Skip")
NEURON = ("Input", "Output", "Delay", "Threshold")


def products_in(graph):
    """The nodes that compute, but for those of the neuron in front and changes of shape."""
    names = [t for t in types_of(graph).values() if t not in (*SHAPES, *NEURON)]
    assert names[:2] == ["LI", "Scale"], "the neuron, and a part of its membrane"
    return " ".join(names[2:])


@pytest.mark.parametrize("equation", WEIGHTED)
def test_a_product_with_a_parameter(equation):
    left, right = equation.split("->")[0].split(",")
    first = "b" in left or "." in left
    x, w = (left, right) if first else (right, left)

    def forward(m, given):
        spk = fired(m, given)
        operands = (spk, m.w) if first else (m.w, spk)
        return with_features(torch.einsum(equation, *operands))

    shape = features(x) if x != "...i" else (2, 3)
    model = Wrapped(forward, v=0.0, w=parameter(w))
    graph = equal(model, torch.rand(2, *shape), drawn(LENGTH, SAMPLES, *shape), atol=1e-5)
    assert products_in(graph) == WEIGHTED[equation]


PRODUCTS = {
    "bi,bi->bi": "Binary",
    "bij,bij->bji": "Binary",
    "bi,bj->bij": "Binary",
    "bi,bj->bji": "Binary",
    "bij,bk->bijk": "Binary",
    "bij,bkh->bik": "Reduce Reduce Binary",
    "bij,bjk->bik": "MatMul",
    "bij,bkj->bik": "MatMul",
    "bij,bjk->bki": "MatMul",
    "bhij,bhjk->bhik": "MatMul",
    "bihk,bjhk->bhij": "MatMul",
    "bhij,bjhk->bihk": "MatMul",
    "bijk,bjk->bi": "MatMul",
    "bij,bij->bi": "MatMul",
    "bi,bi->b": "MatMul",
    "b...i,b...i->b...": "MatMul",
}


@pytest.mark.parametrize("equation", PRODUCTS)
def test_a_product_of_two_values(equation):
    shapes = [features(letters) for letters in equation.split("->")[0].split(",")]
    first = math.prod(shapes[0])

    def forward(m, given):
        spk = fired(m, given)
        x, y = spk[:, :first].unflatten(1, shapes[0]), spk[:, first:].unflatten(1, shapes[1])
        return with_features(torch.einsum(equation, (x, y)))

    n = first + math.prod(shapes[1])
    model = Wrapped(forward, v=0.0)
    graph = equal(model, torch.rand(2, n), drawn(LENGTH, SAMPLES, n), atol=1e-5)
    assert products_in(graph) == PRODUCTS[equation]


ALONE = {
    "bij->bji": "",
    "bijk->bkji": "",
    "...ij->...ji": "",
    "bij->bi": "Reduce",
    "bijk->bki": "Reduce",
    "bij->b": "Reduce",
    "bij": "",
}


@pytest.mark.parametrize("equation", ALONE)
def test_one_operand(equation):
    shape = features(equation.split("->")[0].replace("...", "b"))
    model = Wrapped(lambda m, x: with_features(torch.einsum(equation, fired(m, x))), v=0.0)
    graph = equal(model, torch.rand(2, *shape), drawn(LENGTH, SAMPLES, *shape), atol=1e-5)
    assert products_in(graph) == ALONE[equation]


OVER_TIME = {
    "tbi,io->tbo": lambda m, x: torch.einsum("tbi,io->tbo", x, m.w),
    "tbi,io->bto": lambda m, x: torch.einsum("tbi,io->bto", x, m.w).transpose(0, 1),
    "abc,cd->abd, in a tuple": lambda m, x: torch.einsum("abc,cd->abd", (x, m.w)),
    "...i,io->...o": lambda m, x: torch.einsum("...i,io->...o", x, m.w),
    "tbi,tbj->tbij": lambda m, x: torch.einsum("tbi,tbj->tbij", x, x.abs()).flatten(2),
    "tbi->bti": lambda m, x: torch.einsum("tbi->bti", x).transpose(0, 1),
}


@pytest.mark.parametrize("name", OVER_TIME)
def test_whole_sequences(name):
    """A letter for time, one for the batch: both are left alone."""

    def forward(m, x):
        mem, out = None, []
        for y in OVER_TIME[name](m, x):
            spk, mem = m.lif(y, mem)
            out.append(spk)
        return torch.stack(out)

    model = Wrapped(forward, lif=snn.Leaky(0.5), w=parameter("io"))
    graph = equal(model, torch.rand(5, 2, 3), drawn(LENGTH, SAMPLES, 3), whole)
    assert "LIF" in types_of(graph).values()


REFUSED = {
    "einsum works across time": lambda x: torch.einsum("tbi->bi", x),
    "einsum works across the batch": lambda x: torch.einsum("tbi->ti", x),
    "a diagonal in torch's einsum 'tbii->tbi'": lambda x: torch.einsum(
        "tbii->tbi", x.unsqueeze(-1) * x.unsqueeze(-2)
    ),
    "an einsum of 3 operands": lambda x: torch.einsum("tbi,tbj,tbk->tbijk", x, x, x),
    "steps later": lambda x: torch.einsum("tbi,bi->tbi", x, x[-1]),
    "": lambda x: torch.einsum("tbi,sbi->tbs", x, x),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_an_equation_cannot_say_step_by_step(what):
    def forward(m, x):
        mem, out = None, []
        for x_t in x:
            spk, mem = m.lif(x_t, mem)
            out.append(spk)
        return REFUSED[what](torch.stack(out))

    with pytest.raises(UnsupportedError) as error:
        bridge.to_ir(Wrapped(forward, lif=snn.Leaky(0.5)), torch.rand(5, 2, 3))
    assert what in str(error.value)
    assert HERE in str(error.value)
