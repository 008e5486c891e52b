"""Options of the connections to one server."""

from dataclasses import dataclass, replace
from typing import Self
from urllib.parse import urlsplit
from urllib.request import proxy_bypass_environment  # type: ignore[attr-defined]  # documented as part of getproxies()

from broker.settings.settings import Settings


@dataclass(frozen=True, kw_only=True)
class Options:
    """Times are in seconds. Names follow the settings in `config/example.env`."""

    upload_timeout: float = 30.0  # without any progress of a request's body
    idle_timeout: float = 55.0  # after which a connection is not used again
    max_idle: int = 256
    warm: int = 0  # connections that are opened ahead of need
    ca_file: str | None = None  # None: the authorities that come with `requests`
    proxy: str | None = None  # the URL of an HTTP proxy that takes CONNECT

    @classmethod
    def of(cls, settings: Settings, url: str) -> Self:
        """The authorities and the proxy that the operator chose, for connections to `url`."""
        is_direct = proxy_bypass_environment(urlsplit(url).hostname or "", {"no": settings.no_proxy})
        return cls(
            ca_file=settings.ca_file,
            proxy=None if is_direct else settings.https_proxy,
        )


def openai_options(settings: Settings) -> Options:
    """The options of the connections to OpenAI."""
    return replace(
        Options.of(settings, settings.openai_base_url),
        upload_timeout=settings.openai_upload_timeout,
        idle_timeout=settings.openai_idle_timeout,
        max_idle=settings.openai_max_idle_connections,
        warm=settings.openai_warm_connections,
    )
