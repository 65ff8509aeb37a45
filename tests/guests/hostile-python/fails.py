"""Detectors that fail, each in its way, at the first event. Each reads the text column `name`."""

import os
import sys

from yagura import Event, detector


@detector("exception")
def exception(event: Event) -> bool:
    return fourth_part(event["name"]) == "x"


def fourth_part(name: str | None) -> str:
    return (name or "").split("/")[3]


@detector("exit")
def leaves(event: Event) -> bool:
    sys.exit(3)


@detector("os-abort")
def aborts(event: Event) -> bool:
    os.abort()
