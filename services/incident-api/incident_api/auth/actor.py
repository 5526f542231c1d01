"""Who acts, as audit and timeline name them."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Request

HEADERS = ("x-aiops-actor", "x-grafana-user")
LONGEST = 100


def actor(request: Request) -> str:
    """The user that the client names (Grafana does), else the role of the token."""
    named = next((request.headers[h] for h in HEADERS if request.headers.get(h)), "")
    role: str = getattr(request.state, "role", "anonymous")
    return named.strip()[:LONGEST] or role


Actor = Annotated[str, Depends(actor)]
