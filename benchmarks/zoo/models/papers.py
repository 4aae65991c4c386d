"""Networks in the style of the code that papers publish: neurons by hand, shapes by hand."""

from __future__ import annotations

from .papers_attention import attention_entries
from .papers_recurrent import recurrent_entries
from .papers_residual import residual_entries
from .papers_vision import vision_entries

ENTRIES = [
    *vision_entries(),
    *residual_entries(),
    *attention_entries(),
    *recurrent_entries(),
]
