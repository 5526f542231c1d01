"""Access by token and role, and the actor of a request.

``/health``, ``/ready`` and ``/metrics`` are open. Without tokens only loopback peers are served,
and no pages of other sites in a browser on this host. With tokens only the token's role counts,
wherever the request comes from.
"""

from __future__ import annotations

import hmac
import ipaddress
from typing import Annotated
from urllib.parse import urlsplit

from fastapi import Depends, Request
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from aiops_core.errors import Misconfigured
from incident_api.problems import Problem, problem_response

OPEN = frozenset({"/health", "/ready", "/metrics"})
READING = frozenset({"GET", "HEAD", "OPTIONS"})
ROLES = ("viewer", "operator", "admin")
PLACEHOLDER = "change-me"  # the value in .env.example
CHALLENGE = {"WWW-Authenticate": 'Bearer realm="aiops"'}
ACTOR_HEADERS = ("x-aiops-actor", "x-grafana-user")
LONGEST_ACTOR = 100  # characters


def parse_tokens(text: str) -> dict[str, str]:
    """Token -> role from ``role:token,role:token``; raises Misconfigured on anything else."""
    tokens: dict[str, str] = {}
    for entry in filter(None, (part.strip() for part in text.split(","))):
        role, _, token = entry.partition(":")
        if role not in ROLES or len(token) < 8:
            raise Misconfigured(
                "environment: AIOPS_API_TOKENS: expected role:token,... with a role of "
                f"{', '.join(ROLES)} and tokens of at least 8 characters"
            )
        if PLACEHOLDER in token.lower():
            raise Misconfigured(
                f"environment: AIOPS_API_TOKENS: the token of {role} is the placeholder of "
                ".env.example, which everybody knows; scripts/generate-env.sh makes one of your own"
            )
        tokens[token] = role
    return tokens


def is_loopback(host: str | None) -> bool:
    if host == "localhost":
        return True
    try:
        address = ipaddress.ip_address(host or "")
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_loopback


class Guard:
    def __init__(self, app: ASGIApp, tokens: dict[str, str]) -> None:
        self._app, self._tokens = app, tokens

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] not in OPEN:
            denied = self._denied(scope)
            if denied:
                return await problem_response(scope["path"], denied)(scope, receive, send)
        await self._app(scope, receive, send)

    def _denied(self, scope: Scope) -> Problem | None:
        headers = Headers(scope=scope)
        if not self._tokens:
            return _from_elsewhere(scope, headers)
        role = self._role(headers.get("authorization", ""))
        if role is None:
            return Problem(401, "a bearer token is required", CHALLENGE)
        scope.setdefault("state", {})["role"] = role
        if scope["method"] not in READING and role == "viewer":
            return Problem(403, "the role viewer may only read")
        return None

    def _role(self, authorization: str) -> str | None:
        scheme, _, given = authorization.partition(" ")
        if scheme.lower() != "bearer":
            return None
        known = (
            role
            for token, role in self._tokens.items()
            if hmac.compare_digest(token.encode(), given.strip().encode())
        )
        return next(known, None)


def _from_elsewhere(scope: Scope, headers: Headers) -> Problem | None:
    client = scope.get("client")
    if not is_loopback(client[0] if client else None):
        return Problem(403, "without AIOPS_API_TOKENS the API answers only on loopback")
    origin = headers.get("origin")
    if origin and not is_loopback(urlsplit(origin).hostname):
        return Problem(403, "without AIOPS_API_TOKENS the API does not answer pages of other sites")
    if not is_loopback(urlsplit(f"//{headers.get('host', '')}").hostname):
        return Problem(403, "without AIOPS_API_TOKENS the API answers only to a loopback host name")
    return None


def _actor(request: Request) -> str:
    """The user that the client names (Grafana does), else the role of the token."""
    headers = request.headers
    named = next((headers[name] for name in ACTOR_HEADERS if headers.get(name)), "")
    role: str = getattr(request.state, "role", "anonymous")
    return named.strip()[:LONGEST_ACTOR] or role


Actor = Annotated[str, Depends(_actor)]
