"""What stands beside the step: a program that tries it, and what builds both."""

from __future__ import annotations

from t1c import ir

from .constants import TYPES
from .program import Program

WARNINGS = "-Wall -Wextra -Wpedantic -Wconversion -Wdouble-promotion"

MAIN = """\
/* Runs @name@: reads the inputs of one step after another from standard input, as text, and prints
 * the outputs of each step.
 *
 *   @name@ [-b] [-s STEPS]
 *
 *   -b        numbers as they are in memory, @real@, in and out; else text
 *   -s STEPS  each set of inputs is held for so many steps from rest@held@
 *
 * A step takes, in this order:
@order@
 */
#include "@name@.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static @name@_state state;
@arrays@

static int filled(@real@ *values, size_t count, int binary) {
    if (binary) {
        return fread(values, sizeof *values, count, stdin) == count;
    }
    for (size_t i = 0; i < count; i++) {
        if (scanf("@scan@", &values[i]) != 1) {
            return 0;
        }
    }
    return 1;
}

static void shown(const @real@ *values, size_t count, int binary) {
    if (binary) {
        fwrite(values, sizeof *values, count, stdout);
        return;
    }
    for (size_t i = 0; i < count; i++) {
        printf("%s%.@digits@g", i == 0 ? "" : " ", (double)values[i]);
    }
    printf("\\n");
}

int main(int argc, char **argv) {
    int binary = 0;
    long steps = @hold@;
    for (int n = 1; n < argc; n++) {
        if (strcmp(argv[n], "-b") == 0) {
            binary = 1;
        } else if (strcmp(argv[n], "-s") == 0 && n + 1 < argc && atol(argv[n + 1]) > 0) {
            n++;
            steps = atol(argv[n]);
        } else {
            fprintf(stderr, "usage: @name@ [-b] [-s STEPS]\\n");
            return 2;
        }
    }
    @name@_reset(&state);
    while (@fill@) {
        if (steps == 0) {
            @name@_step(&state, @given@);
@show@
            continue;
        }
        @name@_reset(&state);
        for (long t = 0; t < steps; t++) {
            @name@_step(&state, @given@);
@show_held@
        }
    }
    return 0;
}
"""

MAKEFILE = """\
# make builds @name@, which reads inputs and prints outputs; see main.c.
CC ?= cc
CFLAGS ?= -O3
STRICT = -std=c99 -ffp-contract=off @warnings@
LDLIBS = @libs@

@name@: main.c @name@.c @name@.h
\t$(CC) $(CFLAGS) $(STRICT) -o $@ main.c @name@.c $(LDLIBS)

clean:
\trm -f @name@

.PHONY: clean
"""

CMAKE = """\
cmake_minimum_required(VERSION 3.10)
project(@name@ C)

if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE Release)
endif()
set(CMAKE_C_STANDARD 99)

add_library(@name@_network STATIC @name@.c)
target_include_directories(@name@_network PUBLIC ${CMAKE_CURRENT_SOURCE_DIR})
if(CMAKE_C_COMPILER_ID MATCHES "GNU|Clang")
  target_compile_options(@name@_network PRIVATE -ffp-contract=off)
endif()
@cmake_libs@add_executable(@name@ main.c)
target_link_libraries(@name@ PRIVATE @name@_network)
"""

ARDUINO = """\
// @name@ on a board: copy @name@.h and @name@.c beside this sketch.
#include "@name@.h"

static @name@_state state;
@arrays@

void setup() {
  Serial.begin(115200);
  @name@_reset(&state);
}

void loop() {
  // Fill the inputs here, from a sensor; they are zero as they stand.
  const unsigned long begun = micros();
  @name@_step(&state, @given@);
  Serial.print(micros() - begun);
  Serial.print(" us:");
  for (size_t i = 0; i < sizeof @first@ / sizeof @first@[0]; i++) {
    Serial.print(' ');
    Serial.print(@first@[i]);
  }
  Serial.println();
}
"""


def project(program: Program, name: str, libm: bool) -> dict[str, str]:
    """File name -> text, of all that stands beside header and source."""
    given, asked = list(program.inputs.values()), list(program.outputs.values())
    real = TYPES[program.dtype.name]
    wide = real == "double"
    hold = _hold(program.graph)
    shown = [
        (f"shown({s.name}, {s.size}, binary);", program.graph.outputs()[output].final)
        for output, s in program.outputs.items()
    ]
    words = {
        "name": name,
        "real": real,
        "held": f" (default: {hold})" if hold else "",
        "hold": str(hold),
        "scan": "%lf" if wide else "%f",
        "digits": "17" if wide else "9",
        "order": "\n".join(f" *   {s.name}: {s.size} numbers" for s in given),
        "arrays": "\n".join(f"static {real} {s.name}[{s.size}];" for s in (*given, *asked)),
        "fill": " && ".join(f"filled({s.name}, {s.size}, binary)" for s in given),
        "given": ", ".join(s.name for s in (*given, *asked)),
        "show": "\n".join(f"            {text}" for text, _ in shown),
        "show_held": "\n".join(
            f"            if (t == steps - 1) {{ {text} }}" if final else f"            {text}"
            for text, final in shown
        ),
        "warnings": WARNINGS,
        "libs": "-lm" if libm else "",
        "cmake_libs": f"target_link_libraries({name}_network PUBLIC m)\n" if libm else "",
        "first": asked[0].name,
    }
    files = {
        "main.c": MAIN,
        "Makefile": MAKEFILE,
        "CMakeLists.txt": CMAKE,
        f"arduino/{name}/{name}.ino": ARDUINO,
    }
    return {file: _filled(text, words) for file, text in files.items()}


def _hold(graph: ir.Graph) -> int:
    """For how many steps all Inputs are held; 0 where one is not."""
    held = [node.hold or 0 for node in graph.inputs().values()]
    return max(held) if all(held) else 0


def _filled(text: str, words: dict[str, str]) -> str:
    for word, meaning in words.items():
        text = text.replace(f"@{word}@", meaning)
    return text
