"""Servers for tests, on a free port of the loopback interface, for one test session."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest


@contextmanager
def s3() -> Iterator[str]:
    """Start an S3 server with an empty bucket and yield its address."""
    from boto3 import client
    from moto.s3.responses import S3Response
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    lock, put = threading.Lock(), S3Response._key_response_put

    def alone(self: S3Response, *arguments: Any) -> Any:
        """Write an object while no other is written: S3's conditional writes are atomic, moto's are not."""
        with lock:
            return put(self, *arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(S3Response, "_key_response_put", alone)
        patch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
        patch.setenv("AWS_ACCESS_KEY_ID", "test")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "test")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        client("s3").create_bucket(Bucket="bucket")
        yield f"http://{host}:{port}"
    server.stop()
