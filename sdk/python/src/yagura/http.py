"""Outgoing HTTP through the host, for enrichers and notifiers.

The host allows what the pack's manifest requests (``[plugin.request]``) and the operator grants, and checks scheme,
host, port
and the resolved address, also after redirects. ::

    response = http.get(
        f"https://api.example.org/hosts/{http.encode(host)}",
        headers={"Authorization": "Bearer " + http.secret("inventory")},
    )
    if response.status != 404:
        owner = response.success().json()["owner"]

A plugin never sees a secret. It writes a placeholder, by :func:`secret` or :func:`basic`, and the host replaces it by
the secret after it has allowed the request. The host replaces every placeholder in a request, and an attacker may
have put one into the text of an alert. Text cannot hold a placeholder if it goes through :func:`encode`, ``query`` or
``json``; pass
text from alerts through one of them, or through :func:`plain`.

Every function that sends raises an :class:`HttpError` where there is no answer. Uncaught it is to the host what it derives
from: a :class:`yagura.ConfigError` for a denial, a :class:`yagura.DataError` for what is too large, else a
:class:`yagura.RetryError`.
"""

from __future__ import annotations

import json as json_text
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from .errors import ConfigError, DataError, PluginError, RetryError
from .text import crossing


@dataclass(slots=True)
class Signature:
    """A header with a signature of the body: ``prefix``, then the HMAC-SHA256, in hexadecimal, of ``before`` and the
    body as it is sent. The key is the secret with the name ``secret``."""

    header: str
    secret: str
    prefix: str = ""
    before: str = ""


@dataclass(slots=True)
class Request:
    """A request, as the host receives it; :func:`send` sends it."""

    method: str
    url: str
    """``https://…``, or ``http://…`` where the grant says so."""
    headers: list[tuple[str, str]] = field(default_factory=list)
    """Names and values, which may hold placeholders."""
    body: bytes = b""
    """It may hold placeholders."""
    sign: Signature | None = None

    def header(self, name: str) -> str | None:
        """Returns the first header of a name, in any case; ``None`` where there is none."""
        return _find(self.headers, name)


@dataclass(slots=True)
class Response:
    """The answer of a server."""

    status: int
    """As in HTTP: 200 for success, and so on."""
    headers: list[tuple[str, str]]
    """Names, in lower case, and values."""
    body: bytes
    place: str = ""
    """Method and URL of the request, for messages."""

    def header(self, name: str) -> str | None:
        """Returns the first header of a name, in any case; ``None`` where there is none."""
        return _find(self.headers, name)

    def text(self) -> str:
        """Returns the body as text; bytes that are not UTF-8 become the replacement character."""
        return self.body.decode("utf-8", "replace")

    def json(self) -> Any:
        """Returns the value of the body, which must be JSON text.

        Raises :class:`yagura.RetryError` for a body that is not JSON, as a proxy sometimes sends.
        """
        try:
            return json_text.loads(self.body)
        except (ValueError, RecursionError) as error:
            raise RetryError(f"{self.place}: the answer is no JSON: {error}: {self._excerpt()}") from None

    def success(self) -> Response:
        """Returns the answer if its status is from 200 to 299.

        Raises :class:`yagura.RetryError` for 408, 425, 429 and from 500, :class:`yagura.DataError` for others, with status
        and beginning of the body.
        """
        if 200 <= self.status <= 299:
            return self
        message = f"{self.place}: status {self.status}: {self._excerpt()}"
        if self.status >= 500 or self.status in (408, 425, 429):
            raise RetryError(message)
        raise DataError(message)

    def _excerpt(self) -> str:
        return " ".join(self.body[:300].decode("utf-8", "ignore").split()) or "no text"


class HttpError(PluginError):
    """The reason why a request had no answer."""


class Denied(HttpError, ConfigError):
    """The manifest does not request it, or the operator did not grant it. The message names what would allow it."""


class Limited(HttpError, RetryError):
    """The call limit for this host is used up for now."""


class Timeout(HttpError, RetryError):
    """No answer came in time. The request may have been carried out."""


class TooLarge(HttpError, DataError):
    """Request or answer were over the host's limits."""


class Failed(HttpError, RetryError):
    """Connection, TLS or protocol. The request may have been carried out."""


Headers = Mapping[str, str] | Iterable[tuple[str, str]]


def get(url: str, *, query: Mapping[str, object] | None = None, headers: Headers = ()) -> Response:
    """Sends a GET request; redirects are followed. Keywords are as for :func:`request`."""
    return request("GET", url, query=query, headers=headers)


def post(
    url: str,
    *,
    query: Mapping[str, object] | None = None,
    headers: Headers = (),
    json: object = None,
    body: bytes | None = None,
    sign: Signature | None = None,
) -> Response:
    """Sends a POST request. Keywords are as for :func:`request`."""
    return request("POST", url, query=query, headers=headers, json=json, body=body, sign=sign)


def request(
    method: str,
    url: str,
    *,
    query: Mapping[str, object] | None = None,
    headers: Headers = (),
    json: object = None,
    body: bytes | None = None,
    sign: Signature | None = None,
) -> Response:
    """Sends a request and returns the answer, whatever its status: see :meth:`Response.success`.

    ``query`` is added to the URL, ``json`` is the body as JSON text: in both, only a :class:`Placeholder` can hold
    placeholders. ``headers`` and ``body`` are sent as they are, and may hold placeholders.

    Raises :class:`HttpError`, and :class:`TypeError` for what JSON cannot hold.
    """
    for name, value in (query or {}).items():
        shown = value.text if isinstance(value, Placeholder) else encode(str(value))
        url += f"{'&' if '?' in url else '?'}{encode(name)}={shown}"
    listed = list(headers.items() if isinstance(headers, Mapping) else headers)
    if json is not None:
        if body is not None:
            raise TypeError("a request has one body: give it `json` or `body`")
        body = encode_json(json)
        listed.append(("Content-Type", "application/json"))
    return send(Request(method, url, listed, body or b"", sign))


def send(request: Request) -> Response:
    """Sends a :class:`Request`; otherwise as :func:`request`."""
    place = f"{request.method} {request.url.partition('?')[0]}"
    crossing_request = Request(
        crossing(request.method),
        crossing(request.url),
        [(crossing(name), crossing(value)) for name, value in request.headers],
        request.body,
        request.sign,
    )
    try:
        response = _sender(crossing_request)
    except HttpError as error:
        said = str(error)
        raise type(error)(f"{place}: {_WHAT[type(error)]}" + (f": {said}" if said else "")) from None
    response.place = place
    return response


_WHAT: dict[type[HttpError], str] = {
    Denied: "denied",
    Limited: "the limit of calls is used up for now",
    Timeout: "no answer in time",
    TooLarge: "too large",
    Failed: "failed",
}


def encode(text: str) -> str:
    """Returns text as one part of a URL's path or query: all but letters, digits, ``-``, ``_``, ``.`` and ``~`` is
    percent-encoded."""
    return quote(crossing(text), safe="")


def secret(name: str) -> str:
    """Returns the placeholder of a secret, for the path or query of a URL, the value of a header, or a body."""
    return "{{secret:" + name + "}}"


def basic(user: str, name: str) -> str:
    """Returns the placeholder for the value of a header of basic authentication, ``USER:`` and the secret in base64. The
    scheme stands before it: ``"Basic " + http.basic("yagura", "jira")``."""
    return "{{basic:" + user + ":" + name + "}}"


def plain(text: str) -> str:
    """Returns text that holds no placeholder: a space separates two braces that would begin one."""
    return text.replace("{{secret:", "{ {secret:").replace("{{basic:", "{ {basic:")


@dataclass(frozen=True, slots=True)
class Placeholder:
    """Text in ``json`` or ``query`` that may hold placeholders: ``{"routing_key": Placeholder(secret("pagerduty"))}``."""

    text: str


def encode_json(value: object) -> bytes:
    """Returns a value as JSON text in UTF-8 in which no text holds a placeholder but a :class:`Placeholder`.

    Raises :class:`TypeError` for what JSON cannot hold.
    """
    placeholders: list[str] = []

    def mark(other: object) -> str:
        if not isinstance(other, Placeholder):
            raise TypeError(f"JSON holds no {type(other).__name__}")
        placeholders.append(other.text)
        return f"{sign}{len(placeholders)}"

    def dump() -> str:
        placeholders.clear()
        return json_text.dumps(value, default=mark, ensure_ascii=False, separators=(",", ":"))

    # A mark that nothing in the value holds, whoever wrote it.
    sign, tried = "", 0
    unmarked = dump()
    while not sign or sign in unmarked:
        tried += 1
        sign = f"placeholder-{tried}-"
    # Two braces stand side by side only within texts.
    text = dump().replace("{{", "{\\u007b")
    for number, placeholder in reversed(list(enumerate(placeholders, 1))):
        text = text.replace(f'"{sign}{number}"', json_text.dumps(placeholder, ensure_ascii=False))
    return crossing(text).encode()


def send_by(sender: Callable[[Request], Response] | None) -> None:
    """Lets ``sender`` send requests; it raises :class:`HttpError`. Only the component and unit tests call it."""
    global _sender
    _sender = sender or _unreachable


def _unreachable(request: Request) -> Response:
    raise Denied("a unit test reaches no network: answer the request by yagura.testing.Server")


_sender: Callable[[Request], Response] = _unreachable


def _find(headers: list[tuple[str, str]], name: str) -> str | None:
    wanted = name.lower()
    return next((value for other, value in headers if other.lower() == wanted), None)
