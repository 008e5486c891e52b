"""Run the live suite against a broker that a test started."""

import socket
from pathlib import Path
from typing import Any

import pytest

from deploy.local.supabase_auth import PASSWORD, SupabaseStandIn
from tests.live.__main__ import main as live

__all__ = ["live", "resolve_here", "write_target"]


def write_target(
    folder: Path, target: str, base_url: str, supabase: SupabaseStandIn, email: str = "grace@example.com"
) -> None:
    """Write an env file for the live suite; `email` names one of the stand-in's users."""
    (folder / f".env.{target}").write_text(
        f"BASE_URL={base_url}\nSUPABASE_URL={supabase.url}\nSUPABASE_ANON_KEY={supabase.anon_key}\n"
        f"SUPABASE_EMAIL={email}\nSUPABASE_PASSWORD={PASSWORD}\n"
    )


def resolve_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Resolve names under `.test` (reserved by RFC 6761) to this machine."""
    real = socket.getaddrinfo

    def look_up(host: Any, *arguments: Any, **options: Any) -> Any:
        return real("127.0.0.1" if str(host).endswith(".test") else host, *arguments, **options)

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
