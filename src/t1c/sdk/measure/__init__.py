"""What a network is, what it costs, and what it does on data."""

from .activity import NodeActivity
from .analyze import GraphAnalysis, NodeAnalysis, analyze_graph, analyze_node
from .energy import (
    FLOAT16_45NM,
    FLOAT32_45NM,
    INT8_45NM,
    INT32_45NM,
    TABLES,
    EnergyEstimate,
    EnergyTable,
)
from .neurons import NeuronSettings, Setting, neuron_settings
from .operations import NodeOperations, connection_sparsity
from .profile import Measurement, NodeMemory, Profile, profile_graph
from .silent import SilentNode
from .summarize import Summary, summarize

__all__ = [
    "FLOAT16_45NM",
    "FLOAT32_45NM",
    "INT8_45NM",
    "INT32_45NM",
    "TABLES",
    "EnergyEstimate",
    "EnergyTable",
    "GraphAnalysis",
    "Measurement",
    "NeuronSettings",
    "NodeActivity",
    "NodeAnalysis",
    "NodeMemory",
    "NodeOperations",
    "Profile",
    "Setting",
    "SilentNode",
    "Summary",
    "analyze_graph",
    "analyze_node",
    "connection_sparsity",
    "neuron_settings",
    "profile_graph",
    "summarize",
]
