"""What a person mends by hand in a NIR file, by name and on request: one small file for each.

``REPAIRS`` holds them in the order in which they are made, ``repaired`` makes those that were asked
for, and ``serving`` finds those that would open a file which was refused.
"""

from .by_name import REPAIRS, checked, repaired, serving
from .repair import Repair

__all__ = ["REPAIRS", "Repair", "checked", "repaired", "serving"]
