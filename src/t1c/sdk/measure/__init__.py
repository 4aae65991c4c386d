"""What a network is, what it costs, and what it does on data."""

from .analyze import GraphAnalysis, NodeAnalysis, analyze_graph, analyze_node
from .neurons import NeuronSettings, Setting, neuron_settings
from .summarize import Summary, summarize

__all__ = [
    "GraphAnalysis",
    "NeuronSettings",
    "NodeAnalysis",
    "Setting",
    "Summary",
    "analyze_graph",
    "analyze_node",
    "neuron_settings",
    "summarize",
]
