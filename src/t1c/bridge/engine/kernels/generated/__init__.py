"""Loops over time that are written from what they compute: no kernel by hand for a new neuron."""
