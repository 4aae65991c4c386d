"""A network at work: planned, stepped, run over time in the fastest way that gives its numbers."""
