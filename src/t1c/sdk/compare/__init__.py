"""Whether two graphs are the same, what a graph is, and what is odd about it."""
