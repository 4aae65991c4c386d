"""Graphs, spikes and events as pictures.

Graphs as one HTML file that needs nothing else, as SVG and as DOT; spikes, membranes and rates as
figures (matplotlib); recordings of event cameras as figures and as a page that plays them.
Importing this package needs neither torch nor matplotlib.
"""

from t1c.events import events_to_frames, events_to_grid, events_to_raster

from .diff import diff_html, diff_to_dict
from .dot import to_dot
from .events import export_events_html, plot_events, plot_frames
from .export import export_html, visualize
from .graph_dict import graph_to_dict
from .listing import GraphList, Listed, list_graphs
from .render import render_html
from .spikes import draw_run, plot_membranes, plot_raster, plot_rates
from .svg import to_svg

__all__ = [
    "GraphList",
    "Listed",
    "diff_html",
    "diff_to_dict",
    "draw_run",
    "events_to_frames",
    "events_to_grid",
    "events_to_raster",
    "export_events_html",
    "export_html",
    "graph_to_dict",
    "list_graphs",
    "plot_events",
    "plot_frames",
    "plot_membranes",
    "plot_raster",
    "plot_rates",
    "render_html",
    "to_dot",
    "to_svg",
    "visualize",
]
