"""A process for each model, so that none takes the others with it."""

from __future__ import annotations

import multiprocessing
import os
import warnings
from collections.abc import Callable
from multiprocessing.connection import Connection

import torch

from .check import check
from .entry import Entry
from .verdict import Found


def checked(
    entry: Entry, threads: int, limit: float, work: Callable[[Entry], Found] = check
) -> Found:
    """``check``, or other work, in a process of its own that is ended after ``limit`` seconds.

    The process is a fork of this one, which has the frameworks imported and has computed nothing
    yet: threads of torch would not survive the fork.
    """
    found = Found(entry.framework, entry.name, refusal=entry.refusal)
    context = multiprocessing.get_context("fork")
    here, there = context.Pipe(duplex=False)
    process = context.Process(target=_work, args=(there, entry, threads, work))
    process.start()
    there.close()
    if here.poll(limit):
        try:
            found = here.recv()
        except EOFError:
            process.join()
            found.why = f"the process ended with {process.exitcode}"
    else:
        found.why = f"not done after {limit:.0f} s"
        process.kill()
    process.join()
    return found


def _work(there: Connection, entry: Entry, threads: int, work: Callable[[Entry], Found]) -> None:
    torch.set_num_threads(threads)
    # What frameworks print and warn about is theirs.
    warnings.simplefilter("ignore")
    quiet = os.open(os.devnull, os.O_WRONLY)
    os.dup2(quiet, 1)
    os.dup2(quiet, 2)
    there.send(work(entry))
    there.close()
