"""Checks through the public URL: TLS, CORS, streaming, and that the operator's endpoints are closed."""

from collections.abc import Callable, Iterator, Mapping

from broker.doctor.findings import Finding
from broker.doctor.public_url import PublicUrl, Unreachable, sign_in
from broker.doctor.user_token import SIGN_IN
from broker.settings.settings import Settings

SOON = 21  # days before a certificate's end; Let's Encrypt's clients renew at 30
SDK_HEADERS = "authorization,content-type,apikey,x-client-info,x-stainless-lang,x-stainless-retry-count"
FORGED: tuple[dict[str, str], ...] = ({}, {"X-Forwarded-For": "127.0.0.1"}, {"X-Real-IP": "127.0.0.1"})


def examine(public: PublicUrl) -> Iterator[Finding]:
    """Check TLS, preflight, /metrics and /ready without a token."""
    checks: tuple[tuple[str, Callable[[PublicUrl], str]], ...] = (
        (f"TLS of {public.url}", _tls),
        ("a page's preflight", _preflight),
        ("/metrics is closed", lambda public: _closed(public, "/metrics")),
        ("/ready is closed", lambda public: _closed(public, "/ready")),
    )
    for subject, check in checks:
        try:
            yield Finding(subject, check(public))
        except Unreachable as error:
            yield Finding(subject, f"no response ({error})")


def _tls(public: PublicUrl) -> str:
    if not public.is_tls:
        return "tokens are sent unencrypted: serve it over https"
    days = public.certificate_days()
    return "" if days > SOON else f"the certificate expires in {days:.0f} days: check its renewal"


def _preflight(public: PublicUrl) -> str:
    headers = {
        "Origin": "https://page.example",
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": SDK_HEADERS,
    }
    response = public.ask("OPTIONS", "/stream", headers)
    allowed = response.headers.get("Access-Control-Allow-Headers", "").lower().replace(" ", "").split(",")
    refused = sorted(set(SDK_HEADERS.split(",")) - set(allowed))
    if response.status_code not in (200, 204) or refused:
        return (
            f"status {response.status_code}, headers refused: {', '.join(refused)}: does a proxy answer OPTIONS itself?"
        )
    return ""


def _closed(public: PublicUrl, path: str) -> str:
    for headers in FORGED:
        status = public.ask("GET", path, headers).status_code
        if status not in (403, 404):
            given = f", with {headers}" if headers else ""
            return f"anyone gets a {status}{given}: use deploy/nginx, and check METRICS_ALLOW"
    return ""


def streaming(public: PublicUrl, settings: Settings, environ: Mapping[str, str]) -> Finding:
    """Check that text arrives as it is written. Uses one call of the user whose sign-in `environ` holds."""
    given = [environ.get(name, "") for name in SIGN_IN]
    if not all(given):
        todo = f"set {', '.join(SIGN_IN)} in tests/live/.env.<tenant>_prod"
        return Finding("streaming is not buffered", todo, is_checked=False)
    try:
        arrivals = public.arrivals(sign_in(settings, *given))
    except Unreachable as error:
        return Finding("streaming is not buffered", f"no stream ({error})")
    spread = arrivals[-1] if arrivals else 0.0
    is_buffered = len(arrivals) < 5 or spread < 0.2
    todo = (
        f"{len(arrivals)} reads within {spread:.1f} s: a proxy buffers: set proxy_buffering off" if is_buffered else ""
    )
    return Finding("streaming is not buffered", todo)
