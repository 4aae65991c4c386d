"""Events for the eye: pictures (matplotlib) and a page that plays a recording."""

from .page import export_events_html
from .pictures import plot_events, plot_frames

__all__ = ["export_events_html", "plot_events", "plot_frames"]
