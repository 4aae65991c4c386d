"""The operations of one element, as C says them: each is rounded once, as written."""

from __future__ import annotations

OPERATIONS = {
    "add": "{0} + {1}",
    "subtract": "{0} - {1}",
    "multiply": "{0} * {1}",
    "divide": "{0} / {1}",
    "negative": "-{0}",
    # NaN is neither above nor below anything, and stays.
    "maximum": "({0} > {1} || {0} != {0}) ? {0} : {1}",
    "minimum": "({0} < {1} || {0} != {0}) ? {0} : {1}",
    "where": "{0} ? {1} : {2}",
    "greater": "{0} > {1}",
    "greater_or_equal": "{0} >= {1}",
    "less": "{0} < {1}",
    "equal": "{0} == {1}",
    "unequal": "{0} != {1}",
}
"""Name of an operation -> what it is, {0}, {1} and {2} standing for its operands."""

CONDITIONS = {"greater", "greater_or_equal", "less", "equal", "unequal"}
"""Those whose outcome is a condition."""
