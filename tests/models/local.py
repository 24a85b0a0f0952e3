"""A real small model behind a real server of OpenAI's protocol, where one is installed."""

import os
import socket
import subprocess
import time
from collections.abc import Generator
from contextlib import closing, contextmanager, suppress
from http.client import HTTPConnection
from pathlib import Path

import pytest

from loom.types.models import ModelRef

SERVER = "LOOM_LOCAL_SERVER"
MODEL = "LOOM_LOCAL_MODEL"
STARTING_S = 60

needs_local_model = pytest.mark.skipif(
    not (os.environ.get(SERVER) and os.environ.get(MODEL)),
    reason=f"needs {SERVER}, the path of llama.cpp's llama-server, and {MODEL}, the path of a small model (GGUF)",
)


@contextmanager
def local_model() -> Generator[ModelRef]:
    """Serve the model on a free port of this machine, for as long as the `with` block lasts."""
    server = Path(os.environ[SERVER])
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = int(taken.getsockname()[1])
    command = [str(server), "-m", os.environ[MODEL], "--host", "127.0.0.1", "--port", str(port)]
    command += ["-c", "2048", "-t", "1", "--parallel", "1", "--jinja", "--no-webui"]
    environ = os.environ | {"LD_LIBRARY_PATH": str(server.parent)}
    process = subprocess.Popen(command, env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _wait_until_healthy(process, port)
        yield ModelRef.local(f"http://127.0.0.1:{port}/v1")
    finally:
        process.terminate()
        process.wait(10)


def _wait_until_healthy(process: subprocess.Popen[bytes], port: int) -> None:
    until = time.monotonic() + STARTING_S
    while time.monotonic() < until and process.poll() is None:
        with suppress(OSError), closing(HTTPConnection("127.0.0.1", port, timeout=1)) as connection:
            connection.request("GET", "/health")
            if connection.getresponse().status == 200:
                return
        time.sleep(0.1)
    raise AssertionError(f"the model's server is not healthy after {STARTING_S} s; it ended with {process.poll()}")
