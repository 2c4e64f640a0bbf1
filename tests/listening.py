"""An app of ours behind real HTTP, on a free port, in this process."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from modiste.server.serving import listen_on, make_server


@contextmanager
def listening(app, **limits) -> Iterator[str]:
    """The server's address; it is stopped at the end."""
    socket = listen_on("127.0.0.1", 0)
    server = make_server(app, **limits)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [socket]}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{socket.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()
        socket.close()
