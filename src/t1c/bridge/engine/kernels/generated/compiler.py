"""LLVM at work: from its language to machine code for this processor, without any liberty.

Options are those of Numba, whose compiler it is as well: loops are vectorised, and no operation is
fused with another or put in another order.
"""

from __future__ import annotations

import contextlib
import functools
from typing import Any

from llvmlite import binding as llvm


@functools.cache
def processor() -> tuple[str, str, str]:
    """What code is made for: the system, the processor, and what it can do."""
    features = llvm.get_host_cpu_features().flatten()
    return llvm.get_process_triple(), llvm.get_host_cpu_name(), features


def machine_code(text: str) -> bytes:
    """An object file of what a text in LLVM's language says."""
    module = optimised(text)
    code: bytes = machine().emit_object(module)
    return code


def optimised(text: str) -> Any:
    """The module of a text, its loops vectorised."""
    module = llvm.parse_assembly(text)
    module.triple = processor()[0]
    module.data_layout = str(machine().target_data)
    module.verify()
    options = llvm.create_pipeline_tuning_options(speed_level=3)
    options.loop_vectorization = options.slp_vectorization = True
    passes = llvm.create_pass_builder(machine(), options)
    passes.getModulePassManager().run(module, passes)
    return module


@functools.cache
def machine() -> Any:
    """This processor."""
    return _machine()


def _machine() -> Any:
    with contextlib.suppress(RuntimeError):
        llvm.initialize()  # Needed by LLVM 15, refused by what is newer.
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    triple, name, features = processor()
    return llvm.Target.from_triple(triple).create_target_machine(
        name, features, 3, "default", "jitdefault", jit=True
    )


@functools.cache
def _engine() -> Any:
    # It owns its machine.
    return llvm.create_mcjit_compiler(llvm.parse_assembly(""), _machine())


def loaded(code: bytes, name: str) -> int:
    """Where the function of this name is, of an object file that is loaded for good."""
    engine = _engine()
    engine.add_object_file(llvm.ObjectFileRef.from_data(code))
    engine.finalize_object()
    return int(engine.get_function_address(name))
