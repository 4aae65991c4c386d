"""Questions to a graph: one node, the way between two, chains of primitives, numbers in arrays."""
