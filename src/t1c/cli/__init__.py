"""The ``t1c`` command. Every verb calls one function of the library and shows what it returns.

    app.py        the command itself: its groups of verbs, what is common to all
    verb.py       what every verb does alike: warnings, errors, exit statuses
    usage.py      help, and what is said of a command line that is not understood
    options.py    arguments and options that several verbs share
    sources.py    standard input as a file
    wording.py    what the library and the parser say, in the words of the command line

    look.py       what is in a file:       info, trace, find, primitives
    measure.py    what it costs and does:  analyze, profile, compare, stats, node
    run.py        a network at work:       run
    score.py      on many processes:       score
    compare.py    is it the same?          verify, diff, hash, stamp
    check.py      is it sound?             validate, lint, rules
    change.py     another file:            convert, quantize
    picture.py    pictures:                visualize, export-html, plot
    deploy.py     for other machines:      deploy c, exported, onnx, wasm
    serve.py      at everybody's service:  serve

What a verb needs is imported when it runs, so that help and version answer at once.
"""

from . import change, check, compare, deploy, look, measure, picture, run, score, serve
from .app import app, main

__all__ = [
    "app",
    "change",
    "check",
    "compare",
    "deploy",
    "look",
    "main",
    "measure",
    "picture",
    "run",
    "score",
    "serve",
]
