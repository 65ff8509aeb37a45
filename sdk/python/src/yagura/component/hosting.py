"""What enrichers and notifiers, or enrichers and reviewers, ask the host for, as the SDK's modules want it."""

from __future__ import annotations

from typing import Any

from .. import http


def sender(host_http: Any, err: type[Any]) -> Any:
    """Returns what sends requests by the bindings of ``http``; ``err`` is the bindings' exception."""
    errors: tuple[tuple[type[Any], type[http.HttpError]], ...] = (
        (host_http.HttpError_Denied, http.Denied),
        (host_http.HttpError_Limited, http.Limited),
        (host_http.HttpError_Timeout, http.Timeout),
        (host_http.HttpError_TooLarge, http.TooLarge),
        (host_http.HttpError_Failed, http.Failed),
    )

    def send(request: http.Request) -> http.Response:
        try:
            answer = host_http.send(request)
        except err as error:
            case = error.value
        else:
            return http.Response(answer.status, list(answer.headers), answer.body)
        for kind, as_error in errors:
            if isinstance(case, kind):
                raise as_error(getattr(case, "value", ""))
        raise http.Failed(repr(case))

    return send
