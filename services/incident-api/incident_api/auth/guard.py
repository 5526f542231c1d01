"""An ASGI layer in front of the API. ``/health``, ``/ready`` and ``/metrics`` stay open.

Without tokens only loopback peers are served, and no page of another site that a browser on this host
shows. With tokens the peer does not matter, the token's role does.
"""

from __future__ import annotations

import hmac
import ipaddress
from dataclasses import dataclass
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from aiops_core.errors import Misconfigured
from incident_api.problems import problem

OPEN = frozenset({"/health", "/ready", "/metrics"})
READING = frozenset({"GET", "HEAD", "OPTIONS"})
ROLES = ("viewer", "operator", "admin")
PLACEHOLDER = "change-me"  # in .env.example, which everybody can read
CHALLENGE = {"WWW-Authenticate": 'Bearer realm="aiops"'}


@dataclass(frozen=True, slots=True)
class Refusal:
    status: int
    detail: str


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
            refusal = self._refusal(scope)
            if refusal:
                headers = CHALLENGE if refusal.status == 401 else None
                answer = problem(scope["path"], refusal.status, refusal.detail, headers)
                return await answer(scope, receive, send)
        await self._app(scope, receive, send)

    def _refusal(self, scope: Scope) -> Refusal | None:
        headers = Headers(scope=scope)
        if not self._tokens:
            return _from_elsewhere(scope, headers)
        role = self._role(headers.get("authorization", ""))
        if role is None:
            return Refusal(401, "a bearer token is required")
        scope.setdefault("state", {})["role"] = role
        if scope["method"] not in READING and role == "viewer":
            return Refusal(403, "the role viewer may only read")
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


def _from_elsewhere(scope: Scope, headers: Headers) -> Refusal | None:
    client = scope.get("client")
    if not is_loopback(client[0] if client else None):
        return Refusal(403, "without AIOPS_API_TOKENS the API answers only on loopback")
    origin = headers.get("origin")
    if origin and not is_loopback(urlsplit(origin).hostname):
        return Refusal(403, "without AIOPS_API_TOKENS the API does not answer pages of other sites")
    if not is_loopback(urlsplit(f"//{headers.get('host', '')}").hostname):
        return Refusal(403, "without AIOPS_API_TOKENS the API answers only to a loopback host name")
    return None
