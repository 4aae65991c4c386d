"""Where a network begins and ends for a reader, and names under which it can hold nodes."""

from __future__ import annotations

import keyword
import re
from typing import Any

from t1c import ir
from t1c.ir.errors import Problem
from t1c.ir.naming import unique

from .draft import Draft
from .wires import Wires

_NAMES = """
T_destination add_module add_submodule append apply bfloat16 buffers call_super_init children
clear code compile copy cpu cuda delete_all_unused_submodules delete_submodule double
dump_patches eval execution_order extend extra_repr float forward get get_buffer
get_execution_order get_extra_state get_input_nodes get_parameter get_submodule graph half
insert instantiate_modules ipu items keys load_state_dict meta modules mtia named_buffers
named_children named_modules named_parameters parameters pop popitem print_readable recompile
register_backward_hook register_buffer register_forward_hook register_forward_pre_hook
register_full_backward_hook register_full_backward_pre_hook register_load_state_dict_post_hook
register_load_state_dict_pre_hook register_module register_parameter
register_state_dict_post_hook register_state_dict_pre_hook requires_grad_ return_state
set_extra_state set_submodule setdefault share_memory state state_dict stateful_modules to
to_empty to_folder train training type update values xpu zero_grad
"""
RESERVED = frozenset(_NAMES.split())
"""Names that torch's modules have for other things."""


def check_borders(draft: Draft) -> None:
    """One Input, held for no steps, and one Output, which one node leads to."""
    for kind, found in (("Input", draft.each(ir.Input)), ("Output", draft.each(ir.Output))):
        if len(found) != 1:
            draft.problems.append(
                Problem(
                    f"{len(found)} {kind}s",
                    f"one, which is all that {draft.title} runs",
                    "Extract the part with one of them (sdk.extract_subgraph).",
                    "the graph",
                )
            )
    for name, node in draft.each(ir.Input, ir.Output):
        border: Any = node
        for field, none in (("hold", None), ("final", False)):
            value = getattr(border, field, none)
            if value != none:
                draft.refuse(
                    name,
                    Problem(
                        f"{value}, for which NIR has no word",
                        repr(none),
                        "Do it around the network there, and take the field off here.",
                        field=field,
                    ),
                )
    for name, _ in draft.each(ir.Output):
        if len(draft.sources(name)) > 1:
            draft.refuse(
                name,
                Problem(
                    "several nodes lead to it",
                    f"one: {draft.title} does not add there",
                    "Add them in a neuron or a layer before it.",
                ),
            )


def rename(draft: Draft) -> None:
    """Names that readers can hold as attributes of a module, and those that they look for."""
    wanted = dict.fromkeys(draft.nodes, "")
    if draft.reader.borders:
        for kind, name in zip((ir.Input, ir.Output), draft.reader.borders, strict=True):
            wanted |= {border: name for border, _ in draft.each(kind)}
    taken = set(filter(None, wanted.values()))
    for name in draft.nodes:
        if wanted[name]:
            continue
        plain = re.sub(r"\W", "_", name, flags=re.ASCII) or "_"
        if plain in RESERVED or keyword.iskeyword(plain):
            plain += "_"
        wanted[name] = unique(plain, taken, "_")
        taken.add(wanted[name])
    for old, new in wanted.items():
        if old != new:
            draft.change(old, f"it is called {new!r} there")
    draft.nodes = {wanted[name]: node for name, node in draft.nodes.items()}
    draft.wires = Wires((wanted[a], wanted[b]) for a, b in draft.edges)
    draft.back = {(wanted[a], wanted[b]) for a, b in draft.back}
