"""Events of cameras and ears: reading recordings, and counting events into what a network takes.

Events are structured arrays in Tonic's manner: a time ``t``, an address ``x`` (and ``y``), and a
polarity ``p``, one row each. Needs NumPy; some files need a reader of their own (``read_events``).
"""

from .fields import EventFields, event_fields
from .files import Recording, read_events
from .frames import events_to_frames
from .grid import events_to_grid
from .raster import events_to_raster

__all__ = [
    "EventFields",
    "Recording",
    "event_fields",
    "events_to_frames",
    "events_to_grid",
    "events_to_raster",
    "read_events",
]
