"""What stands around the C of a network so that it is a module of WebAssembly by itself.

The module imports nothing and has one network in it, at rest until ``reset`` and ``step`` are
called. Its numbers lie in its memory: ``address(n)`` tells where those of input or output n begin.
"""

from __future__ import annotations

from collections.abc import Sequence

from t1c.deploy.c import CPort

HEADERS = {
    "string.h": """\
#include <stddef.h>
#define memcpy __builtin_memcpy
#define memset __builtin_memset
""",
    "math.h": """\
#define fabs __builtin_fabs
#define fabsf __builtin_fabsf
#define sqrt __builtin_sqrt
#define sqrtf __builtin_sqrtf
#define INFINITY __builtin_inff()
#define NAN __builtin_nanf("")
""",
}
"""A wasm module has no C library: these are instructions of its own."""

EXPORTS = ("reset", "step", "address")


def source(name: str, ports: Sequence[CPort]) -> str:
    """The C of the module's functions, for a network of this name and its step's arguments."""
    arrays = [f"static {port.type} port{n}[{port.size}];" for n, port in enumerate(ports)]
    given = ", ".join(f"port{n}" for n in range(len(ports)))
    cases = [f"    case {n}:\n        return port{n};" for n in range(len(ports))]
    return "\n".join(
        [
            f'#include "{name}.h"',
            "",
            f"static {name}_state state;",
            *arrays,
            "",
            "void reset(void) {",
            f"    {name}_reset(&state);",
            "}",
            "",
            "void step(void) {",
            f"    {name}_step(&state, {given});",
            "}",
            "",
            "void *address(int port) {",
            "    switch (port) {",
            *cases,
            "    default:",
            "        return 0;",
            "    }",
            "}",
            "",
        ]
    )
