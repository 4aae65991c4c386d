"""Graphs made of graphs: functions that take one and return another, and leave the first alone."""
