"""Spikes, membranes and rates as figures (matplotlib): axes are passed in and returned."""

from .draw import draw_run
from .membranes import plot_membranes
from .raster import plot_raster
from .rates import plot_rates

__all__ = ["draw_run", "plot_membranes", "plot_raster", "plot_rates"]
