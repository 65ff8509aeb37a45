"""Text as it crosses to the host."""

from __future__ import annotations


def crossing(text: str) -> str:
    """Returns the text with `?` for every half of a surrogate pair.

    JSON may hold such halves, as may what an attacker writes; they are no characters, and text of the contract is UTF-8.
    """
    return text if text.isascii() else text.encode("utf-8", "replace").decode()
