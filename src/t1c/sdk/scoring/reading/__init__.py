"""From a shard to blocks of samples: one file per kind.

blocks.py    what a block is; how samples that come one by one become blocks
arrays.py    .npz files and recordings, whole
stores.py    stores of Zarr, in parts
tables.py    .parquet files, some rows at a time
tars.py      .tar files as WebDataset writes them, sample by sample
"""

from .blocks import Block
from .read import read_blocks

__all__ = ["Block", "read_blocks"]
