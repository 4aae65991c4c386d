"""The header and the source of a step."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from t1c import __version__

from .constants import TYPES, literal
from .functions import LIBM
from .program import Program
from .storage import Storage

KEEPS_ORDER = """\
/* Every product and sum is rounded by itself, as written: nothing may be fused or reordered. */
#if defined(__FAST_MATH__)
#error "compile without -ffast-math: it changes the numbers"
#endif
#if defined(FLT_EVAL_METHOD) && FLT_EVAL_METHOD != 0
#error "this target works float in another precision: use -mfpmath=sse -msse2 or the like"
#endif
#if defined(__clang__)
#pragma STDC FP_CONTRACT OFF
#elif defined(__GNUC__)
#pragma GCC optimize ("fp-contract=off")
#endif
"""


@dataclass(frozen=True)
class Memory:
    """What a step takes, in bytes.

    Attributes:
        weights: constant arrays.
        state: what lasts from step to step.
        scratch: what a step needs beside it; it lies in the state's struct too.
    """

    weights: int
    state: int
    scratch: int

    @staticmethod
    def of(program: Program) -> Memory:
        """What a program takes."""
        state = sum(each.bytes for each in program.states)
        scratch = sum(size * dtype.itemsize for dtype, size in program.scratches.items())
        return Memory(program.constants.bytes, state, scratch)


def header(program: Program, name: str, title: str) -> str:
    """The header: the state, and the two functions."""
    return "\n".join(_header(program, name, title)) + "\n"


def _header(program: Program, name: str, title: str) -> Iterator[str]:
    memory, guard = Memory.of(program), f"{name.upper()}_H"
    yield f"/* {title}, written by t1c {__version__}."
    yield " *"
    yield f" *   {memory.weights:>10} bytes of weights (constant)"
    yield f" *   {memory.state:>10} bytes of state"
    yield f" *   {memory.scratch:>10} bytes of scratch, in the same struct"
    yield " *"
    yield f" * Call {name}_reset once, then {name}_step for each step in time. Nothing is"
    yield " * allocated or kept outside of the struct: several networks may run side by side."
    yield " */"
    yield f"#ifndef {guard}"
    yield f"#define {guard}"
    yield ""
    yield "#include <stddef.h>"
    yield "#include <stdint.h>"
    yield ""
    yield "#ifdef __cplusplus"
    yield 'extern "C" {'
    yield "#endif"
    yield ""
    for storage in (*program.inputs.values(), *program.outputs.values()):
        yield f"#define {name.upper()}_{storage.name.upper()}_SIZE {storage.size}"
    yield ""
    yield "typedef struct {"
    members = list(_members(program))
    yield from members or ["    char nothing; /* C has no empty struct */"]
    yield f"}} {name}_state;"
    yield ""
    yield "/* Puts the state at rest. */"
    yield f"void {name}_reset({name}_state *s);"
    yield ""
    yield "/* One step in time. Arrays are laid out row by row and do not overlap. */"
    yield f"{_signature(program, name)};"
    yield ""
    yield "#ifdef __cplusplus"
    yield "}"
    yield "#endif"
    yield ""
    yield "#endif"


def _members(program: Program) -> Iterator[str]:
    for each in program.states:
        yield f"    {TYPES[each.dtype.name]} {each.name}[{each.size}];"
    for dtype, size in program.scratches.items():
        name = program.scratch_name(dtype)
        yield f"    {TYPES[dtype.name]} {name}[{size}]; /* no part of what lasts */"


def _signature(program: Program, name: str) -> str:
    # An array of an argument cannot be qualified in C++, where a header is read too.
    given = [f"const {TYPES[s.dtype.name]} *{s.name}" for s in program.inputs.values()]
    asked = [f"{TYPES[s.dtype.name]} *{s.name}" for s in program.outputs.values()]
    return f"void {name}_step({name}_state *s, {', '.join([*given, *asked])})"


def body(program: Program, name: str) -> str:
    """The source."""
    return "\n".join(_body(program, name)) + "\n"


def _body(program: Program, name: str) -> Iterator[str]:
    functions = list(program.functions.values())
    stages = [(title, list(lines)) for title, lines in program.stages]
    arrays = list(program.constants.lines())
    resets = [line for each in program.states for line in _reset(program, each)]
    work = [line for _, lines in stages for line in lines]
    text = "\n".join([*functions, *arrays, *resets, *work])
    yield f'#include "{name}.h"'
    yield ""
    yield "#include <float.h>"
    if any(word in text for word in ("INFINITY", "NAN", "fabs", "sqrt", "pow", "erf")):
        yield "#include <math.h>"
    if "memcpy" in text:
        yield "#include <string.h>"
    yield ""
    yield KEEPS_ORDER
    if arrays:
        yield from arrays
        yield ""
    for function in functions:
        yield function
        yield ""
    yield f"void {name}_reset({name}_state *s) {{"
    yield from resets or ["    (void)s;"]
    yield "}"
    yield ""
    yield f"{_signature(program, name)} {{"
    if not any("s->" in line for line in work):
        yield "    (void)s;"
    for storage in program.inputs.values():
        if not any(storage.name in line for line in work):
            yield f"    (void){storage.name};"
    for title, lines in stages:
        yield f"    {{ /* {title} */"
        yield from (f"        {line}" for line in lines)
        yield "    }"
    yield "}"


def _reset(program: Program, storage: Storage) -> Iterator[str]:
    if storage.rest.size == 1:
        value = literal(storage.rest.flat[0], storage.dtype)
    else:
        value = f"{program.rests[storage]}[i]"
    yield f"    for (size_t i = 0; i < {storage.size}; i++) {{"
    yield f"        s->{storage.name}[i] = {value};"
    yield "    }"


def needs_libm(program: Program) -> bool:
    """Whether it is linked with the C library's mathematics."""
    return any(each in LIBM for each in program.functions)
