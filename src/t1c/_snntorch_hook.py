"""Makes `snntorch.import_t1cir` importable next to an unmodified snnTorch.

Importing this module adds one finder to the end of `sys.meta_path`, so nothing is
written into snnTorch's folder, and a snnTorch that has such a module of its own
wins. `t1c.bridge` imports it. Where the distribution t1c-snntorch is installed,
which the extra `t1c[snntorch]` brings and which consists of one `.pth` file, Python
imports it at every start, so that the names are there before anything of t1c is;
uninstalling that distribution takes them away again.

Every Python process of such an environment pays for this module: it imports only
what Python has loaded anyway.
"""

import os
import sys

TYPE_CHECKING = False  # importing `typing` would cost more than all the rest
if TYPE_CHECKING:
    from collections.abc import Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType

# The module as users write it -> the file in `bridge` that is loaded.
WRAPPERS = {
    "snntorch.export_t1cir": "snntorch_export_t1cir.py",
    "snntorch.import_t1cir": "snntorch_import_t1cir.py",
}


class SnnTorchFinder:
    """A meta path finder for the modules of `WRAPPERS`, and for nothing else."""

    @staticmethod
    def find_spec(
        fullname: str,
        path: "Sequence[str] | None" = None,
        target: "ModuleType | None" = None,
    ) -> "ModuleSpec | None":
        """The spec of a wrapper module, None for any other name."""
        file = WRAPPERS.get(fullname)
        if file is None:
            return None
        from importlib.util import spec_from_file_location

        folder = os.path.join(os.path.dirname(__file__), "bridge")
        return spec_from_file_location(fullname, os.path.join(folder, file))


sys.meta_path.append(SnnTorchFinder)
