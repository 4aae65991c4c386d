"""Random PyTorch models, as users write them: what ``models()`` draws prints its own source.

A model is a tuple of pieces, and a piece writes itself for whatever shape reaches it (a layer is a
Linear on features and a Conv2d on maps, a pool does nothing to features), so that any piece can be
left out and the rest still stands: that is what lets an example shrink. ``Step`` models are called
once per step and keep their memory in attributes; ``Sequence`` models get all steps, or one value
that they hold, and are stages: loops over time, layers on merged or whole tensors, multi-step
neurons, readouts. A ``Trap`` is what no graph of one step can say, or only with care; ``traps`` of
a model names those in it. Weights lie on the grid k/16, inputs on k/4.
"""

import dataclasses
import itertools
import linecache
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st
from torch import nn

HEAD = """\
import snntorch as snn
import torch
from spikingjelly.activation_based import layer, neuron
from torch import nn
from torch.nn import functional as F

from t1c.bridge import LIFModule


class Spike(torch.autograd.Function):
    @staticmethod
    def forward(ctx, u):
        ctx.save_for_backward(u)
        return (u > 0).float()

    @staticmethod
    def backward(ctx, given):
        (u,) = ctx.saved_tensors
        return given / (1 + u.abs()) ** 2


def grid(module, seed):
    generator = torch.Generator().manual_seed(seed)
    for name, held in (*module.named_parameters(), *module.named_buffers()):
        if held.is_floating_point():
            low, high = (4, 48) if name.endswith("var") else (-12, 15)
            held.data.copy_(torch.randint(low, high, held.shape, generator=generator) / 16)
    return module
"""


class Writer:
    """The source of one model while its pieces write it: members, and statements on ``x``.

    Memory lies in local names, or in ``attributes`` that are 'kept' from call to call of the model
    or 'reset' by each. ``shape`` is that of the features at this point, without batch and time.
    Inside of a loop over ``xs``, ``t`` is the step's number where it has a name, ``entry`` the
    shape of a step and ``step`` what reads one.
    """

    def __init__(self, shape: tuple[int, ...], attributes: str) -> None:
        self.shape = shape
        self.attributes = attributes
        self.t: str | None = None
        self.entry: tuple[int, ...] | None = None
        self.step = "xs[{0}]"
        self.members: list[str] = []
        self.lines: list[str] = []
        self.starts: list[str] = []
        self.numbers = itertools.count()

    def say(self, *lines: str) -> None:
        self.lines += lines

    def name(self, prefix: str) -> str:
        return f"{prefix}{next(self.numbers)}"

    def member(self, prefix: str, value: str) -> str:
        """A layer or a neuron of the model; the expression that reads it."""
        name = f"self.{self.name(prefix)}"
        self.members.append(f"{name} = {value}")
        return name

    def layer(self, prefix: str, value: str) -> str:
        """A member with weights on the grid."""
        return self.member(prefix, f"grid({value}, {len(self.members)})")

    def memory(self, start: str, prefix: str = "m") -> str:
        """What is kept from step to step, and starts at ``start``."""
        if self.attributes:
            name = self.member(prefix, start)
            if self.attributes == "reset":
                self.starts.append(f"{name} = {start}")
            return name
        name = self.name(prefix)
        self.starts.append(f"{name} = {start}")
        return name

    def first(self, name: str, start: str, x: str = "x") -> None:
        """Lines for a memory that is made when the first input is seen."""
        if start == "zeros_like":
            self.say(f"if {name} is None:", f"    {name} = torch.zeros_like({x})")


def numbers(low: float, high: float, of: int = 16) -> st.SearchStrategy[float]:
    """k/of between two ends, simple ones first."""
    return st.integers(round(low * of), round(high * of)).map(lambda k: k / of)


class Piece:
    """What a model does in one step, to ``x``."""

    trap: str | None = None

    def write(self, w: Writer) -> None:
        raise NotImplementedError


# Without memory ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Layer(Piece):
    """A Linear or a 3x3 Conv2d, used once or twice, as a module or by its function."""

    width: int = 4
    bias: bool = True
    twice: bool = False
    by: str = "module"

    def write(self, w: Writer) -> None:
        old, width = w.shape[0], w.shape[0] if self.twice else self.width
        if len(w.shape) == 1:
            made, function = f"nn.Linear({old}, {width}, bias={self.bias})", "F.linear(x, {0})"
        else:
            made = f"nn.Conv2d({old}, {width}, 3, padding=1, bias={self.bias})"
            function = "F.conv2d(x, {0}, padding=1)"
        fc = w.layer("fc", made)
        given = f"{fc}.weight, {fc}.bias" if self.bias else f"{fc}.weight"
        call = function.format(given) if self.by == "function" else f"{fc}(x)"
        if self.twice:
            w.say(f"x = torch.relu({call})")
        w.say(f"x = {call}")
        w.shape = (width, *w.shape[1:])


@dataclass(frozen=True)
class Norm(Piece):
    kind: str = "batch"

    def write(self, w: Writer) -> None:
        n, maps = w.shape[0], len(w.shape) == 3
        made = {
            "batch": f"nn.BatchNorm{2 if maps else 1}d({n})",
            "layer": f"nn.LayerNorm({w.shape})",
            "group": f"nn.GroupNorm(2, {n})",
        }[self.kind]
        w.say(f"x = {w.layer('norm', made)}(x)")


@dataclass(frozen=True)
class Pool(Piece):
    """A pool of 2x2 over maps."""

    call: str = "F.avg_pool2d(x, 2)"

    def write(self, w: Writer) -> None:
        if len(w.shape) == 3 and min(w.shape[1:]) >= 2:
            w.say(f"x = {self.call}")
            w.shape = (w.shape[0], w.shape[1] // 2, w.shape[2] // 2)


@dataclass(frozen=True)
class Flat(Piece):
    """Maps become features."""

    call: str = "x.flatten(1)"

    def write(self, w: Writer) -> None:
        if len(w.shape) == 3:
            n = w.shape[0] * w.shape[1] * w.shape[2]
            w.say(f"x = {self.call.format(n)}")
            w.shape = (n,)


@dataclass(frozen=True)
class Each(Piece):
    """A function of each element."""

    call: str = "torch.relu(x)"

    def write(self, w: Writer) -> None:
        w.say(f"x = {self.call}")


@dataclass(frozen=True)
class Rearrange(Piece):
    """Features change their places or shapes, and are features again."""

    features: str = "torch.cat(x.chunk(2, dim=1)[::-1], dim=1)"

    def write(self, w: Writer) -> None:
        n = w.shape[0]
        given: dict[str, Any] = {"n": n, "half": n // 2, "rest": ", ".join(map(str, w.shape[1:]))}
        if len(w.shape) == 3:
            given["rest"] = ", " + given["rest"]
        w.say(f"x = {self.features.format(**given)}")


@dataclass(frozen=True)
class Fire(Piece):
    """Spikes of what is above a threshold, without memory."""

    threshold: float = 0.75
    by: str = "({u} > 0).float()"

    def write(self, w: Writer) -> None:
        w.say(f"x = {self.by.format(u=f'(x - {self.threshold})')}")


@dataclass(frozen=True)
class Branch(Piece):
    """What some pieces make of ``x``, joined with ``x`` itself; their shapes stay."""

    join: str = "x + {0}"
    inner: tuple[Piece, ...] = ()

    def write(self, w: Writer) -> None:
        kept, shape = w.name("kept"), w.shape
        w.say(f"{kept} = x")
        for piece in self.inner:
            piece.write(w)
        if w.shape == shape:
            w.say(f"x = {self.join.format(kept)}")
            if "cat" in self.join:
                w.shape = (2 * shape[0], *shape[1:])


# With memory -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Leaf(Piece):
    """A neuron of a framework, one step at a time."""

    kind: str = "Leaky"
    beta: float = 0.5
    threshold: float = 0.75
    reset: str = "subtract"

    def write(self, w: Writer) -> None:
        if self.kind in ("IF", "LIF"):
            v_reset = {"zero": 0.0}.get(self.reset)
            tau = "tau=2.0, " if self.kind == "LIF" else ""
            given = f"{tau}v_threshold={self.threshold}, v_reset={v_reset}"
            w.say(f"x = {w.member('lif', f'neuron.{self.kind}Node({given})')}(x)")
            return
        if self.kind == "LIFModule":
            lif = w.member("lif", f"LIFModule(2.0, 2.0, 0.0, {self.threshold})")
            v = w.memory("None")
            w.say(f"x, {v} = {lif}(x, {v})")
            return
        given = f'{self.beta}, threshold={self.threshold}, reset_mechanism="{self.reset}"'
        if self.kind == "hidden":
            lif = w.member("lif", f"snn.Leaky({given}, init_hidden=True)")
            w.say(f"x = {lif}(x)")
        else:
            lif = w.member("lif", f"snn.Leaky({given})")
            v = w.memory(f"{lif}.init_leaky()")
            w.say(f"x, {v} = {lif}(x, {v})")


@dataclass(frozen=True)
class Hand(Piece):
    """A neuron written out: decay, comparison, reset, and what its membrane starts as."""

    beta: float = 0.5
    threshold: float = 0.75
    fire: str = "({v} > {thr}).float()"
    reset: str = "{v} = {v} - {thr} * s"
    start: str = "0.0"
    gives: str = "s"

    def write(self, w: Writer) -> None:
        v = w.memory("None" if self.start == "zeros_like" else self.start, "v")
        w.first(v, self.start)
        update = f"{self.beta} * {v} + x"
        w.say(
            f"{v} = x if {v} is None else {update}" if self.start == "None" else f"{v} = {update}"
        )
        w.say(f"s = {self.fire.format(v=v, thr=self.threshold)}")
        w.say(self.reset.format(v=v, thr=self.threshold))
        w.say("x = s" if self.gives == "s" else f"x = {v}")


@dataclass(frozen=True)
class Memory(Piece):
    """A memory ``m`` of one step: how it goes on, and what is given."""

    update: str = "{beta} * {m} + x"
    given: str = "{m}"
    beta: float = 0.5
    start: str = "None"

    def write(self, w: Writer) -> None:
        m = w.memory("None" if self.start == "zeros_like" else self.start)
        w.first(m, self.start)
        new = self.update.format(m=m, beta=self.beta)
        if self.given == "{m}":
            w.say(f"{m} = x if {m} is None else {new}" if self.start == "None" else f"{m} = {new}")
            w.say(f"x = {m}")
        else:
            out = self.given.format(m=m)
            w.say(f"y = x if {m} is None else {out}" if self.start == "None" else f"y = {out}")
            w.say(f"{m} = {new}", "x = y")


@dataclass(frozen=True)
class Counter(Piece):
    """A tensor that counts steps, and what it does to ``x``: a trap, for no input reaches it."""

    call: str = "x / {n}"
    trap: str = "a counter"

    def write(self, w: Writer) -> None:
        n = w.memory("torch.zeros(())", "n")
        w.say(f"{n} = {n} + 1", f"x = {self.call.format(n=n)}")


@dataclass(frozen=True)
class Late(Piece):
    """A delay by some steps, in a list."""

    steps: int = 1
    by: str = "pop"

    def write(self, w: Writer) -> None:
        line = w.memory("[]", "line")
        w.say(f"{line}.append(x)")
        if self.by == "pop":
            w.say(f"x = {line}.pop(0) if len({line}) > {self.steps} else torch.zeros_like(x)")
        else:
            w.say(
                f"x = {line}[-{self.steps + 1}] if len({line}) > {self.steps} "
                "else torch.zeros_like(x)"
            )


@dataclass(frozen=True)
class Recurrent(Piece):
    """What was sent in the step before comes back through a layer."""

    function: str = "torch.tanh({0})"
    start: str = "None"

    def write(self, w: Writer) -> None:
        n = w.shape[0]
        made = f"nn.Linear({n}, {n})" if len(w.shape) == 1 else f"nn.Conv2d({n}, {n}, 1)"
        rec, h = w.layer("rec", made), w.memory("None", "h")
        w.first(h, "zeros_like")
        w.say(f"x = {h} = {self.function.format(f'x + {rec}({h})')}")


# Traps -------------------------------------------------------------------------------------------

TRAPS = {
    "times the step": "x = x * ({t} + 1)",
    "divided by B": "x = x / len(x)",
    "softmax over the batch": "x = x.softmax(0)",
    "less the batch's mean": "x = x - x.mean(0)",
    "less the batch's largest": "x = x - x.amax(0, keepdim=True)",
    "the batch rolled": "x = x.roll(1, 0)",
    "random noise": "x = x + 0.25 * torch.rand_like(x)",
    "random inputs dropped": "x = F.dropout(x, 0.5)",
    "another first step": "x = x * 2 if {t} == 0 else x",
    "every second step": "x = x if {t} % 2 == 0 else 0 * x",
    "another later step": "x = -x if {t} == {k} else x",
    "from a later step on": "x = x + 1 if {t} > {k} else x",
    "the largest of all": "x = x / (1 + x.abs().max())",
    "a look at values": "x = x if x.sum() > {k} else 2 * x",
    "weights changed": "{w}.weight.data.mul_(1.0625)\nx = {w}(x)",
    "weights added to": "with torch.no_grad():\n    {w}.weight += 0.0625\nx = {w}(x)",
    "a number of Python": "{c} = 0.5 * {c} + 1\nx = x * {c}",
    "a sample's own": "x = torch.cat([x[:1], 2 * x[1:]])",
}
LOOPED = {
    "divided by T": "x = x / T",
    "another last step": "x = -x if t == T - 1 else x",
    "the step after": "x = x + {after} if t + 1 < T else x",
    "the step before, around": "x = {before}",
    "the first step always": "x = x - {start}",
    "a part of T": "x = x * (t / T)",
}


@dataclass(frozen=True)
class Trap(Piece):
    """What depends on T, B, the step's number, other samples, or chance."""

    trap: str = "divided by B"
    k: int = 3

    def write(self, w: Writer) -> None:
        text = {**TRAPS, **LOOPED}[self.trap]
        looped = w.t is not None and not w.attributes and w.entry == w.shape
        if self.trap in LOOPED and not looped:
            text = TRAPS["divided by B"]
        steps = {"after": "t + 1", "before": "t - 1", "start": "0"}
        given: dict[str, Any] = {name: w.step.format(t) for name, t in steps.items()}
        given |= {"k": self.k, "t": w.t, "w": "", "c": ""}
        if "{t}" in text and (w.t is None or w.attributes):
            given["t"] = w.memory("-1", "n")
            w.say(f"{given['t']} += 1")
        if "{w}" in text:
            n = w.shape[0]
            made = f"nn.Linear({n}, {n})" if len(w.shape) == 1 else f"nn.Conv2d({n}, {n}, 1)"
            given["w"] = w.layer("fc", made)
        if "{c}" in text:
            given["c"] = w.memory("1.0", "c")
        w.say(*text.format(**given).split("\n"))


# Sequences ---------------------------------------------------------------------------------------


class Stage:
    """What a model does with all steps, ``x`` (T, B, *shape)."""

    trap: str | None = None

    @property
    def final(self) -> bool:
        """Whether what it gives has no time any more."""
        return False

    def write(self, w: Writer) -> None:
        raise NotImplementedError


def indented(lines: list[str], by: int = 1) -> list[str]:
    return ["    " * by + line for line in lines]


@dataclass(frozen=True)
class Loop(Stage):
    """A loop over time, its memory in local names or in attributes, and what it collects."""

    pieces: tuple[Piece, ...] = ()
    over: str = "range"
    collect: str = "list"
    attributes: str = ""

    @property
    def final(self) -> bool:
        return self.collect in READOUTS

    def write(self, w: Writer) -> None:
        self.write_over(w, "xs[{0}]", "xs", "len(xs)")

    def write_over(self, w: Writer, step: str, each: str, steps: str) -> None:
        """``step`` reads one step of ``xs`` by its number; ``each`` can be iterated over."""
        lines, w.lines, w.attributes = w.lines, [], self.attributes
        w.t, w.entry, w.step = ("t" if self.over in ("range", "enumerate") else None), w.shape, step
        for piece in self.pieces:
            piece.write(w)
        body, starts, shape = w.lines, w.starts, ", ".join(map(str, w.shape))
        w.lines, w.starts, w.attributes, w.t, w.entry = lines, [], "", None, None
        head, tail = COLLECTS[self.collect]
        w.say("xs = x", f"T = {steps}", *starts)
        if self.collect == "write":
            w.say(f"out = xs.new_zeros(T, {'len(xs)' if each != 'xs' else 'xs.shape[1]'}, {shape})")
            number = "t"
        else:
            w.say(*head)
            number = ""
        over = {
            "range": (["for t in range(T):"], [f"x = {step.format('t')}"]),
            "enumerate": ([f"for t, x in enumerate({each}):"], []),
            "iterate": ([f"for x in {each}:"], []),
            "zip": ([f"for t, x in zip(range(T), {each}):"], []),
        }[self.over if not number or self.over != "iterate" else "zip"]
        w.say(
            *over[0],
            *indented([*over[1], *body, *tail.get("each", ["pass"])]),
            *tail.get("end", []),
        )


READOUTS = {"sum", "share", "last", "largest"}
COLLECTS: dict[str, tuple[list[str], dict[str, list[str]]]] = {
    "list": (["out = []"], {"each": ["out.append(x)"], "end": ["x = torch.stack(out)"]}),
    "+=": (["out = []"], {"each": ["out += [x]"], "end": ["x = torch.stack(out, dim=0)"]}),
    "cat": (
        ["out = []"],
        {"each": ["out.append(x.unsqueeze(0))"], "end": ["x = torch.cat(out, dim=0)"]},
    ),
    "write": ([], {"each": ["out[t] = x"], "end": ["x = out"]}),
    "sum": (["total = 0"], {"each": ["total = total + x"], "end": ["x = total"]}),
    "share": (["total = 0.0"], {"each": ["total += x"], "end": ["x = total / T"]}),
    "last": ([], {}),
    "largest": (
        ["top = None"],
        {
            "each": ["top = x if top is None else torch.maximum(top, x)"],
            "end": ["x = top"],
        },
    ),
}


@dataclass(frozen=True)
class Merged(Stage):
    """Pieces without memory on time and batch merged, and both apart again."""

    pieces: tuple[Piece, ...] = ()
    back: str = "x.view(T, B, *x.shape[1:])"
    there: str = "x.flatten(0, 1)"

    def write(self, w: Writer) -> None:
        w.say("T, B = x.shape[:2]", f"x = {self.there}")
        for piece in self.pieces:
            piece.write(w)
        w.say(f"x = {self.back}")


@dataclass(frozen=True)
class Whole(Stage):
    """A layer on the last axis, or an operation that means the same on all steps."""

    call: str = "torch.relu(x)"

    def write(self, w: Writer) -> None:
        if "{fc}" in self.call:
            made = f"nn.Linear({w.shape[-1]}, 4)"
            w.say(f"x = {self.call.format(fc=w.layer('fc', made))}")
            w.shape = (*w.shape[:-1], 4)
        elif "{flat}" in self.call:
            n = 1
            for size in w.shape:
                n *= size
            w.say(f"x = {self.call.format(flat=n)}")
            w.shape = (n,)
        else:
            w.say(f"x = {self.call}")


@dataclass(frozen=True)
class Multi(Stage):
    """A module of SpikingJelly in multi-step mode."""

    kind: str = "IF"
    threshold: float = 0.75
    reset: str = "zero"

    def write(self, w: Writer) -> None:
        n, maps = w.shape[0], len(w.shape) == 3
        mode = 'step_mode="m"'
        if self.kind in ("IF", "LIF"):
            tau = "tau=2.0, " if self.kind == "LIF" else ""
            v_reset = 0.0 if self.reset == "zero" else None
            given = f"{tau}v_threshold={self.threshold}, v_reset={v_reset}, {mode}"
            made = w.member("lif", f"neuron.{self.kind}Node({given})")
        elif self.kind == "layer":
            kind = f"Conv2d({n}, 4, 3, padding=1" if maps else f"Linear({n}, 4"
            made = w.layer("fc", f"layer.{kind}, {mode})")
            w.shape = (4, *w.shape[1:])
        elif self.kind == "container":
            kind = f"nn.Conv2d({n}, 4, 3, padding=1)" if maps else f"nn.Linear({n}, 4)"
            made = w.layer("fc", f"layer.SeqToANNContainer({kind}, nn.ReLU())")
            w.shape = (4, *w.shape[1:])
        else:
            made = w.layer("filter", f"layer.SynapseFilter(tau=4.0, {mode})")
        w.say(f"x = {made}(x)")


@dataclass(frozen=True)
class Crossing(Stage):
    """What mixes steps or samples of a whole sequence: a trap."""

    trap: str = "x.flip(0)"

    def write(self, w: Writer) -> None:
        w.say(f"x = {self.trap}")


@dataclass(frozen=True)
class Readout(Stage):
    """An answer from all steps, and a function behind it."""

    over: str = "x.mean(0)"
    behind: str = "x"

    @property
    def final(self) -> bool:
        return True

    def write(self, w: Writer) -> None:
        w.say(f"x = {self.over}")
        if self.behind != "x":
            fc = ""
            if "{fc}" in self.behind:
                fc = w.layer("fc", f"nn.Linear({w.shape[-1]}, 4)")
            w.say(f"x = {self.behind.format(fc=fc)}")


# Models ------------------------------------------------------------------------------------------


@dataclass(frozen=True, repr=False)
class Model:
    """A model: ``source`` is its code, ``build`` the module, ``form`` how its tensors lie.

    ``inputs`` are features; time and batch lie where ``form`` says: 'step' (B, *), 'time first'
    (T, B, *), 'batch first' (B, T, *), 'time last' (B, *, T), 'held' (B, *), for ``hold`` steps.
    """

    inputs: tuple[int, ...] = (4,)

    @property
    def form(self) -> str:
        raise NotImplementedError

    @property
    def final(self) -> bool:
        """Whether the answer is that of all steps, without time."""
        return False

    @property
    def hold(self) -> int | None:
        return None

    def parts(self) -> Iterator[Any]:
        """Every piece and stage, the inner ones too."""
        yield from _parts(self)

    @property
    def traps(self) -> list[str]:
        return [part.trap for part in self.parts() if part.trap]

    def written(self) -> Writer:
        raise NotImplementedError

    @property
    def source(self) -> str:
        w = self.written()
        members = w.members or ["pass"]
        lines = [
            "class Model(nn.Module):",
            "    def __init__(self):",
            *indented(["super().__init__()", *members], 2),
            "",
            "    def forward(self, x):",
            *indented([*w.lines, "return x"], 2),
        ]
        return f"{HEAD}\n\n" + "\n".join(lines) + "\n"

    def build(self, double: bool = False) -> nn.Module:
        """The module in eval mode; ``double``: the same in float64."""
        source = self.source.replace(".float()", ".double()") if double else self.source
        name = f"<model {abs(hash(source)):x}>"
        linecache.cache[name] = (len(source), None, source.splitlines(keepends=True), name)
        space: dict[str, Any] = {"__name__": "models"}
        exec(compile(source, name, "exec"), space)
        made: nn.Module = space["Model"]().eval()
        return made.double() if double else made

    def __repr__(self) -> str:
        body = self.source.removeprefix(HEAD).strip()
        return f"{type(self).__name__}, {self.form}, features {self.inputs}\n{body}\n"


def _parts(of: Any) -> Iterator[Any]:
    for field in dataclasses.fields(of):
        held = getattr(of, field.name)
        for part in held if isinstance(held, tuple) else (held,):
            if isinstance(part, Piece | Stage):
                yield part
                yield from _parts(part)


@dataclass(frozen=True, repr=False)
class Step(Model):
    """A model of one step, which is called once for each."""

    pieces: tuple[Piece, ...] = ()

    @property
    def form(self) -> str:
        return "step"

    def written(self) -> Writer:
        w = Writer(self.inputs, attributes="kept")
        for piece in self.pieces:
            piece.write(w)
        return w


INDEXED = {
    "batch first": ("xs[:, {0}]", "xs.unbind(1)", "xs.shape[1]"),
    "time last": ("xs[..., {0}]", "xs.unbind(-1)", "xs.shape[-1]"),
}
"""How a loop reads one step, all of them and their number, where the axes stay as they are."""


@dataclass(frozen=True, repr=False)
class Sequence(Model):
    """A model of all steps at once.

    Args:
        lies: as ``form``, save 'held'.
        entry: 'move' the axes before the first stage, or 'index' them in its loop.
        back: whether the axes of the result lie as those of the input.
    """

    stages: tuple[Stage, ...] = ()
    lies: str = "time first"
    entry: str = "move"
    back: bool = False

    @property
    def form(self) -> str:
        return self.lies

    @property
    def final(self) -> bool:
        return any(stage.final for stage in self.stages)

    def written(self) -> Writer:
        w = Writer(self.inputs, attributes="")
        stages, d = list(self.stages), len(self.inputs) + 1
        first = stages[0] if stages else None
        if isinstance(first, Loop) and self.entry == "index" and self.lies in INDEXED:
            first.write_over(w, *INDEXED[self.lies])
            stages.pop(0)
        elif self.lies == "batch first":
            w.say("x = x.transpose(0, 1)")
        elif self.lies == "time last":
            w.say(f"x = x.permute({', '.join(map(str, [d, *range(d)]))})")
        for stage in _until_final(stages, self.stages):
            stage.write(w)
        if self.back and not self.final:
            d = len(w.shape) + 1
            if self.lies == "batch first":
                w.say("x = x.transpose(0, 1)")
            elif self.lies == "time last":
                w.say(f"x = x.permute({', '.join(map(str, [*range(1, d + 1), 0]))})")
        return w


@dataclass(frozen=True, repr=False)
class Held(Model):
    """A model that holds one value for some steps."""

    stages: tuple[Stage, ...] = ()
    steps: int = 5
    by: str = "x.unsqueeze(0).repeat({T}, 1{ones})"

    @property
    def form(self) -> str:
        return "held"

    @property
    def hold(self) -> int:
        return self.steps

    @property
    def final(self) -> bool:
        return any(stage.final for stage in self.stages)

    def written(self) -> Writer:
        w = Writer(self.inputs, attributes="")
        stages = list(self.stages)
        first = stages[0] if stages else None
        if isinstance(first, Loop) and self.by == "loop":
            over = dataclasses.replace(first, over="range")
            over.write_over(w, "xs", "[xs]", str(self.steps))
            stages.pop(0)
        else:
            by = "x.unsqueeze(0).repeat({T}, 1{ones})" if self.by == "loop" else self.by
            w.say(f"x = {by.format(T=self.steps, ones=', 1' * len(self.inputs))}")
        for stage in _until_final(stages, self.stages):
            stage.write(w)
        return w


def _until_final(stages: list[Stage], all_stages: tuple[Stage, ...]) -> Iterator[Stage]:
    """Stages up to the first that ends time; none where one before them did."""
    if len(stages) < len(all_stages) and all_stages[0].final:
        return
    for stage in stages:
        yield stage
        if stage.final:
            return


# Strategies --------------------------------------------------------------------------------------


def of(*choices: Any) -> st.SearchStrategy[Any]:
    return st.sampled_from(choices)


EACH = (
    "torch.relu(x)", "0.5 * x", "x + 0.25", "-x", "x.abs()", "x.clamp(-1, 2)", "torch.tanh(x)",
    "torch.sigmoid(x)", "x * x", "x / 4", "torch.where(x > 0.5, x, 0.25 * x)", "F.gelu(x)",
    "F.leaky_relu(x, 0.125)", "F.elu(x)", "x.floor()", "torch.exp(-x.abs())", "1 - x",
    "torch.sqrt(F.relu(x))", "torch.minimum(x, torch.tensor(1.5))", "x.pow(2)", "F.relu6(x)",
    "x * torch.sigmoid(x)", "(x > 0.25).to(x.dtype) * x", "x.square().add(1).reciprocal()",
    "F.silu(x)", "torch.softmax(x, dim=1)", "x - x.mean(1, keepdim=True)",
    "x / (1 + x.abs().amax(1, keepdim=True))", "F.hardtanh(x)", "x.masked_fill(x < 0, 0.5)",
    "x.trunc()", "0.25 * torch.frac(x)", "0.75 / (x.abs() + 1)", "x // 0.5",
)  # fmt: skip
REARRANGE = (
    "torch.cat(x.chunk(2, dim=1)[::-1], dim=1)",
    "x.unsqueeze(1).squeeze(1)",
    "x.reshape(x.shape[0], 2, {half}{rest}).transpose(1, 2).flatten(1, 2)",
    "torch.cat([x[:, 1:], x[:, :1]], dim=1)",
    "torch.stack([x[:, 0::2], x[:, 1::2]], dim=2).flatten(1, 2)",
    "torch.cat([x, x.mean(1, keepdim=True)], dim=1)[:, 1:]",
    "F.pad(x, (1, 0))[..., :-1]",
    "F.pad(x, (0, 2), value=0.5)[..., 2:]",
    "x[:, [*range(1, {n}), 0]]",
    "x.index_select(1, torch.arange({n}).flip(0))",
)
ODD = (
    "x.reshape(len(x), {half}, 2{rest}).sum(2).repeat_interleave(2, dim=1)",
    "x.unflatten(1, (2, {half})).flip(1).flatten(1, 2)",
    "x.roll(1, 1)",
    "x.cumsum(1)",
    "x.sort(1)[0]",
    "x[:, torch.arange({n} - 1, -1, -1)]",
)
"""What no primitive says in one word: refused, or equal."""
FIRE = (
    "({v} > {thr}).float()",
    "({v} >= {thr}).float()",
    "torch.where({v} > {thr}, 1.0, 0.0)",
    "torch.heaviside({v} - {thr}, torch.tensor(1.0).to({v}))",
    "Spike.apply({v} - {thr})",
    "{v}.ge({thr}).to({v})",
    "({v} - {thr} >= 0) * 1.0",
)
RESET = (
    "{v} = {v} - {thr} * s",
    "{v} = {v} * (1 - s)",
    "{v} = torch.where(s > 0, torch.zeros_like({v}), {v})",
    "{v} = {v} - s * ({v} - 0.25)",
    "{v} = {v}.masked_fill(s.bool(), 0.0)",
    "{v} = (1 - s) * {v} + s * -0.25",
    "{v} = ({v} - {thr} * s).clamp(min=-1.0)",
    "{v} = {v}",
)
STARTS = ("None", "0.0", "zeros_like")
betas = numbers(0, 1).filter(lambda beta: beta > 0)
thresholds = numbers(0.25, 2)


def stateless(inner: st.SearchStrategy[Piece] | None = None) -> st.SearchStrategy[Piece]:
    """Pieces without memory; ``inner`` are those in branches."""
    flat = of("x.flatten(1)", "x.reshape(x.size(0), -1)", "x.reshape(-1, {0})")
    pool = of("F.avg_pool2d(x, 2)", "F.max_pool2d(x, 2)")
    by = of("({u} > 0).float()", "Spike.apply({u})", "torch.where({u} >= 0, 1.0, 0.0)")
    layers = st.builds(
        Layer, of(4, 2, 6), st.booleans(), of(False, False, True), of("module", "function")
    )
    return st.one_of(
        layers,
        layers,
        st.builds(Each, of(*EACH)),
        st.builds(Norm, of("batch", "layer", "group")),
        st.builds(Pool, pool),
        st.builds(Flat, flat),
        st.builds(Rearrange, of(*REARRANGE)),
        st.builds(Fire, thresholds, by),
        *([st.builds(Branch, of(*JOINS), _some(inner, 0, 2))] if inner is not None else []),
    )


JOINS = (
    "x + {0}", "x * {0}", "x - {0}", "torch.maximum(x, {0})", "torch.cat([x, {0}], dim=1)",
    "torch.where({0} > 0.5, x, {0})", "x / (1 + {0}.abs())",
)  # fmt: skip


def _some(pieces: st.SearchStrategy[Any], low: int, high: int) -> st.SearchStrategy[Any]:
    return st.lists(pieces, min_size=low, max_size=high).map(tuple)


def neurons(single: bool) -> st.SearchStrategy[Piece]:
    """Neurons of frameworks and by hand; ``single``: those that keep their state themselves too."""
    kinds = ("Leaky", "LIFModule") + (("hidden", "IF", "LIF") if single else ("IF", "LIF"))
    return st.one_of(
        st.builds(Leaf, of(*kinds), betas, thresholds, of("subtract", "zero")),
        st.builds(Hand, betas, thresholds, of(*FIRE), of(*RESET), of(*STARTS), of("s", "s", "v")),
    )


def memories() -> st.SearchStrategy[Piece]:
    sums = of(
        "{beta} * {m} + x", "{beta} * {m} + (1 - {beta}) * x", "{m} + x",
        "({m} + x).clamp(max=2.0)", "torch.tanh({beta} * {m} - x)",
    )  # fmt: skip
    # torch.maximum takes no numbers, so that these cannot start from one.
    tops = of("torch.maximum({m}, x)", "torch.minimum({m} + x, torch.tensor(2.0))")
    seen = of("x - {m}", "x + 0.5 * {m}", "x * {m}")
    return st.one_of(
        st.builds(Memory, sums, st.just("{m}"), betas, of(*STARTS)),
        st.builds(Memory, tops, st.just("{m}"), betas, of("None", "zeros_like")),
        st.builds(Memory, st.just("x"), seen, st.just(0.5), of(*STARTS)),
        st.builds(
            Memory,
            st.just("x"),
            st.just("torch.maximum(x, {m})"),
            st.just(0.5),
            of("None", "zeros_like"),
        ),
        st.builds(Late, st.integers(1, 3), of("pop", "index")),
        st.builds(Recurrent, of("torch.tanh({0})", "torch.sigmoid({0})", "({0}).clamp(0, 1)")),
    )


def pieces(single: bool, trapped: bool) -> st.SearchStrategy[Piece]:
    """Pieces of one step."""
    inner = st.one_of(stateless(), neurons(single), memories())
    kinds = [stateless(inner), neurons(single), memories()]
    traps = (*TRAPS, *(() if single else LOOPED))
    if trapped:
        kinds.append(st.builds(Trap, of(*traps), st.integers(1, 14)))
        counted = of("x / {n}", "x * {n}", "x * ({n} > 3)", "x + 1 / {n}", "x * ({n} % 2)")
        kinds.append(st.builds(Counter, counted))
        kinds.append(st.builds(Rearrange, of(*ODD)))
    return st.one_of(*kinds)


def stages(trapped: bool) -> st.SearchStrategy[Stage]:
    lasting = [name for name in COLLECTS if name not in READOUTS]
    back = of(
        "x.view(T, B, *x.shape[1:])", "x.reshape(T, -1, *x.shape[1:])",
        "x.unflatten(0, (T, B))", "x.view(-1, B, *x.shape[1:])",
    )  # fmt: skip
    calls = of(
        "torch.relu(x)", "0.5 * x", "{fc}(x)", "x.flatten(2)  # {flat}", "torch.tanh(x)",
        "x.abs() - 0.5", "torch.cat(x.chunk(2, dim=2)[::-1], dim=2)", "(x > 0.5).float()",
    )  # fmt: skip
    kinds: list[st.SearchStrategy[Stage]] = [
        loops(lasting, trapped),
        st.builds(
            Merged,
            _some(stateless(stateless()), 1, 3),
            back,
            of("x.flatten(0, 1)", "x.reshape(T * B, *x.shape[2:])"),
        ),
        st.builds(Whole, calls),
        st.builds(
            Multi,
            of("IF", "LIF", "layer", "container", "filter"),
            thresholds,
            of("zero", "subtract"),
        ),
    ]
    if trapped:
        kinds.append(st.builds(Crossing, of(*CROSSINGS)))
    return st.one_of(*kinds)


CROSSINGS = (
    "x.flip(0)", "x.flip(1)", "x[::2]", "x - x.mean(0, keepdim=True)", "x.softmax(0)",
    "x.softmax(1)", "x.roll(1, 0)", "x - x.mean(1, keepdim=True)", "torch.cat([x[1:], x[:1]])",
    "x.cumsum(0)", "x / x.shape[0]", "x / x.shape[1]", "x - x[0]", "x.sort(0)[0]",
    "torch.cat([x[:1], x[1:] - x[:-1]])", "x * torch.arange(len(x)).view(-1, *[1] * (x.dim() - 1))",
    "x.transpose(0, 1).reshape(x.shape)", "x + torch.randn_like(x)", "x[:3]",
)  # fmt: skip


def loops(collects: Any, trapped: bool) -> st.SearchStrategy[Any]:
    return st.builds(
        Loop,
        _some(pieces(False, trapped), 1, 4),
        of("range", "enumerate", "iterate", "zip"),
        of(*collects),
        of("", "", "kept", "reset"),
    )


def readouts() -> st.SearchStrategy[Any]:
    over = of(
        "x.mean(0)", "x.sum(0)", "x.max(0)[0]", "x[-1]", "x.sum(dim=0) / len(x)", "x.amax(0)",
        "torch.mean(x, dim=0)", "x.max(dim=0).values", "x.sum(0) / x.shape[0]",
    )  # fmt: skip
    behind = of("x", "x.log_softmax(-1)", "{fc}(x)", "F.log_softmax(x, dim=1)", "torch.relu(x)")
    return st.builds(Readout, over, behind)


@st.composite
def sequences(draw: Any, trapped: bool) -> tuple[Stage, ...]:
    """Stages, at least one of which needs time, and sometimes an answer from all steps."""
    drawn = list(draw(_some(stages(trapped), 0, 2)))
    lasting = [name for name in COLLECTS if name not in READOUTS]
    multi = st.builds(Multi, of("IF", "LIF"), thresholds, of("zero", "subtract"))
    timed = st.one_of(loops(lasting, trapped), multi)
    end = draw(of("none", "loop", "readout"))
    if end == "loop":
        drawn.append(draw(loops(sorted(READOUTS), trapped)))
    else:
        drawn.insert(draw(st.integers(0, len(drawn))), draw(timed))
        if end == "readout":
            drawn.append(draw(readouts()))
    return tuple(drawn)


shapes = of((4,), (2, 4, 6))


def step_models(trapped: bool) -> st.SearchStrategy[Step]:
    return st.builds(Step, shapes, _some(pieces(True, trapped), 1, 5))


def sequence_models(trapped: bool) -> st.SearchStrategy[Sequence]:
    return st.builds(
        Sequence,
        shapes,
        sequences(trapped),
        of("time first", "batch first", "time last"),
        of("move", "index"),
        st.booleans(),
    )


def held_models(trapped: bool) -> st.SearchStrategy[Held]:
    by = of(
        "x.unsqueeze(0).repeat({T}, 1{ones})", "loop", "loop", "torch.stack([x] * {T})",
        "x.expand({T}, *x.shape)",
    )  # fmt: skip
    return st.builds(Held, shapes, sequences(trapped), st.integers(4, 9), by)


def models(trapped: bool = False) -> st.SearchStrategy[Model]:
    """One model in three of each kind; ``trapped``: traps may be in it."""
    return st.one_of(step_models(trapped), sequence_models(trapped), held_models(trapped))
