"""Ports that are opened to the whole internet."""

import json
from collections.abc import Iterator
from typing import Any, TypeGuard

from yagura import Event, Finding, Rule, Severity, detector

# What the contract's whole numbers hold: a port outside of them is no integer in any language.
INTEGERS = range(-(2**63), 2**63)


@detector("sample-open-ingress")
def open_ingress(event: Event, rule: Rule) -> Finding | None:
    """The rule `sample-open-ingress`: JSON inside a column, and configuration."""
    text = event["request_parameters.ipPermissions"]
    if text is None:
        return None
    try:
        permissions = json.loads(text, parse_constant=no_constant)
    # What nests too deep is no honest JSON either.
    except (ValueError, RecursionError):
        return None
    found = list(open_ports(permissions, rule.config_integers("public_ports")))
    if not found:
        return None
    is_remote = any(low <= port <= high for low, high in found for port in (22, 3389))
    return Finding(
        severity=Severity.CRITICAL if is_remote else None,
        context={
            "ports": ", ".join(str(low) if low == high else f"{low}-{high}" for low, high in found),
            "group": event["request_parameters.groupId"],
        },
    )


def open_ports(permissions: Any, public: list[int]) -> Iterator[tuple[int, int]]:
    """Returns the ranges of ports that the permissions open to everybody, but for those of one public port."""
    for permission in items(permissions):
        low, high = permission.get("fromPort"), permission.get("toPort")
        if not is_integer(low) or not is_integer(high):
            continue
        is_open = has(permission.get("ipRanges"), "cidrIp", "0.0.0.0/0") or has(
            permission.get("ipv6Ranges"), "cidrIpv6", "::/0"
        )
        if is_open and not (low == high and low in public):
            yield low, high


def items(value: Any) -> Iterator[dict[str, Any]]:
    """Returns the objects among the elements of `{"items": […]}`."""
    listed = value.get("items") if isinstance(value, dict) else None
    if isinstance(listed, list):
        yield from (item for item in listed if isinstance(item, dict))


def has(ranges: Any, key: str, value: str) -> bool:
    return any(item.get(key) == value for item in items(ranges))


def is_integer(value: Any) -> TypeGuard[int]:
    # Truth values are integers to Python, and not in JSON.
    return type(value) is int and value in INTEGERS


def no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")
