"""A spiking neural network as one file with one meaning.

`t1c.ir` holds the representation and the `.t1c` file, `t1c.bridge` runs it in
PyTorch: `from t1c import ir, bridge`.

This module imports nothing: where the extra `t1c[snntorch]` is installed, Python runs
it at every start (see `t1c._snntorch_hook`), and `t1c.ir` must not pull in torch.
"""

__version__ = "0.1.0"  # pragma: no cover - runs before coverage starts to measure
