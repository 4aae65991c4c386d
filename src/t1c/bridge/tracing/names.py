"""The names of torch's operations, and the one name for all ways of writing each of them."""

from __future__ import annotations

_WAYS = {
    "add": "add __add__ __radd__ __iadd__ add_",
    "sub": "sub subtract __sub__ __isub__ sub_",
    "rsub": "rsub __rsub__",
    "mul": "mul multiply __mul__ __rmul__ __imul__ mul_",
    "div": "div divide true_divide __truediv__ __itruediv__ __div__ div_",
    "rdiv": "__rtruediv__ __rdiv__",
    "floor_divide": "floor_divide __floordiv__ __ifloordiv__",
    "pow": "pow __pow__ __ipow__ pow_",
    "neg": "neg negative __neg__",
    "abs": "abs absolute __abs__",
    "gt": "gt greater __gt__",
    "ge": "ge greater_equal __ge__",
    "lt": "lt less __lt__",
    "le": "le less_equal __le__",
    "eq": "eq __eq__",
    "ne": "ne not_equal __ne__",
    "invert": "logical_not bitwise_not __invert__",
    "and": "logical_and bitwise_and __and__ __rand__ __iand__",
    "or": "logical_or bitwise_or __or__ __ror__ __ior__",
    "clamp": "clamp clip clamp_min clamp_max hardtanh relu6",
    "maximum": "maximum fmax",
    "minimum": "minimum fmin",
    "same": "detach clone contiguous requires_grad_ alias cpu cuda to type float double half"
    " bfloat16 type_as view_as_real positive __pos__ lift_fresh _to_copy resolve_conj resolve_neg"
    " dropout dropout1d dropout2d dropout3d feature_dropout alpha_dropout identity copy_",
    "matmul": "matmul __matmul__ bmm mm",
    "cat": "cat concat concatenate",
    "flatten": "flatten view reshape squeeze unsqueeze unflatten view_as reshape_as ravel"
    " _unsafe_view",
    "transpose": "permute transpose t swapaxes swapdims movedim moveaxis T mT",
    "cut": "chunk split tensor_split split_with_sizes",
    "getitem": "__getitem__ select narrow",
    "max": "max amax",
    "min": "min amin",
}
_PLAIN = {way: plain for plain, ways in _WAYS.items() for way in ways.split()}

_FUNCTIONS = (
    "relu leaky_relu elu gelu sigmoid tanh silu prelu softplus exp log sqrt rsqrt reciprocal square"
    " floor ceil round trunc fix frac sign heaviside where masked_fill lerp addcmul bool int long"
)

ELEMENTWISE = frozenset(
    [
        *(_PLAIN),
        *_FUNCTIONS.split(),
    ]
) - frozenset(
    " ".join(
        _WAYS[n] for n in ("matmul", "cat", "flatten", "transpose", "cut", "getitem", "max", "min")
    ).split()
)
"""Every way of writing what works element by element."""


NICKNAMES = {"cut": "chunk", "getitem": "take", "__setitem__": "write"}
"""What a node is called, where the name of the operation would not do."""


_SPOKEN = {"__getitem__": "indexing", "__setitem__": "indexed write"}


def spoken(name: str) -> str:
    """An operation in the words of an error message."""
    return _SPOKEN.get(name, name)


def plain_name(name: str) -> str:
    """One name for all ways of writing an operation; ``relu_`` is what ``relu`` is."""
    if name in _PLAIN:
        return _PLAIN[name]
    bare = name.removesuffix("_")
    if bare in _PLAIN:
        return _PLAIN[bare]
    return bare.strip("_") or name
