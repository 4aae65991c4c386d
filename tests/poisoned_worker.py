"""A worker of a pool that dies at some shards, and scores nothing."""

import os
import signal

from t1c.sdk.scoring.processes import BEGUN, READY
from t1c.sdk.scoring.scorer import ShardScore


def serve(pipe, job, device):
    """As ``processes._serve``; it dies at 'poison', and before it is ready on the device 'none'."""
    if device == "none":
        os.kill(os.getpid(), signal.SIGKILL)
    pipe.send(READY)
    while True:
        try:
            shard = pipe.recv()
        except EOFError:
            return
        pipe.send(BEGUN)
        if shard.called == "poison":
            os.kill(os.getpid(), signal.SIGKILL)
        pipe.send(ShardScore(shard.name, shard.results, "done", 1))
