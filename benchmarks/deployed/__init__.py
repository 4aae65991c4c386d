"""One graph, every way out: the same inputs, and where the outputs differ from the reference's."""
