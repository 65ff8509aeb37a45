"""Detectors that look for a world outside. Each reads the text column `name`."""

import os
import random
import socket
import time
import uuid

from yagura import Event, Finding, detector


@detector("clock")
def clock(event: Event) -> Finding:
    """Clock and randomness work, and say the same in every run."""
    return Finding(
        context={
            "time": time.time(),
            "random": random.random(),
            "uuid": str(uuid.uuid4()),
            "urandom": os.urandom(4).hex(),
        }
    )


@detector("files")
def files(event: Event) -> bool:
    with open("/etc/passwd") as opened:
        return "root" in opened.read()


@detector("socket")
def connects(event: Event) -> bool:
    with socket.create_connection(("192.0.2.1", 80), timeout=1) as connection:
        return connection.fileno() >= 0
