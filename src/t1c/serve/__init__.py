"""A network as a service: HTTP for samples, WebSockets for streams with state.

    limits.py        how much is taken on
    network.py       the network that is served
    ports.py         what a step takes and gives
    rows.py          states of many streams as rows of one table
    stepping.py      some steps of a batch, on an executor
    batching.py      many streams as one batch
    service.py       one thread that works batches, for as many as ask
    conversation.py  one stream
    messages.py      what is said in it
    calls.py         what one call brings and is answered
    numbers.py       JSON and .npz archives
    refusals.py      what clients are told when something is not done
    guard.py         who is let in
    app.py           the routes
    connections.py   times for what uvicorn waits for
    server.py        a service on a socket, until it is told to stop

Nothing that a client sends is executed or unpickled.
"""

try:
    import starlette as _starlette  # noqa: F401
    import uvicorn as _uvicorn  # noqa: F401
    import websockets as _websockets  # noqa: F401
except ModuleNotFoundError as _missing:
    raise ModuleNotFoundError(
        f"t1c.serve needs Starlette, uvicorn and websockets; one cannot be imported ({_missing}). "
        "Install them with: pip install 't1c[serve]'",
        name=_missing.name,
    ) from _missing

from .app import make_app
from .limits import Limits
from .network import Served, serve_network
from .refusals import RefusedError
from .server import Server, ServeReport, serve, serving

__all__ = [
    "Limits",
    "RefusedError",
    "ServeReport",
    "Served",
    "Server",
    "make_app",
    "serve",
    "serve_network",
    "serving",
]


def __dir__() -> list[str]:
    """The interface, without the files that it is made of."""
    return __all__
