"""A run of a model, written down, its axes and steps understood, folded into one step, assembled.

In the order of work: ``calling`` (how a model is called), ``recorder`` (what it did), ``axes`` and
``effects`` (what each axis of each tensor is), ``steps`` (at which time step each value is there),
``families`` (the one step that all steps are), ``building`` with ``operations`` (its nodes),
``assemble`` (the graph), ``trace`` (all of that, twice, at other sizes), ``drive`` and ``proof``
(model and graph, side by side).
"""
