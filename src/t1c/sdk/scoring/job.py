"""What is done to every shard: the model and the options."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

from t1c import __version__
from t1c.events.frames import Polarity

from ..runner import DType

Format = Literal["npz", "parquet"]
"""What results are written as."""


@dataclass(frozen=True)
class Job:
    """What is done to every shard.

    Attributes:
        model: the ``.t1c`` or ``.nir`` file.
        digest: its SHA-256: who works on another file than was meant refuses it.
        batch_size: samples at once. Each shard is cut into batches from its beginning, whoever
            works it.
        format: of the results.
        steps, dtype, dt, polarity, allow_nonfinite, reproducible: as of ``score``.
    """

    model: str
    digest: str
    batch_size: int = 256
    format: Format = "npz"
    steps: int | None = None
    dtype: DType = "float32"
    dt: float | None = None
    polarity: Polarity | None = None
    allow_nonfinite: bool = False
    reproducible: bool = False

    def made_of(self) -> dict[str, Any]:
        """What the numbers in all results depend on, besides the samples."""
        own = asdict(self)
        del own["model"], own["format"]
        return {"t1c": __version__, **own}
