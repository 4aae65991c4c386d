"""Graphs as pictures: one HTML file that needs nothing else, SVG and DOT.

Importing this package needs no torch.
"""

from .diff import diff_html, diff_to_dict
from .dot import to_dot
from .export import export_html, visualize
from .graph_dict import graph_to_dict
from .listing import GraphList, Listed, list_graphs
from .render import render_html
from .svg import to_svg

__all__ = [
    "GraphList",
    "Listed",
    "diff_html",
    "diff_to_dict",
    "export_html",
    "graph_to_dict",
    "list_graphs",
    "render_html",
    "to_dot",
    "to_svg",
    "visualize",
]
