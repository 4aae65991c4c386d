"""Graphs of integers: made from graphs of real numbers, searched, and compared with them."""
