"""Security header fields of every response: https://owasp.org/www-project-secure-headers/.

Pages on other origins use the broker, so CORS decides who may read. By default no response is a page, a frame or a
script; endpoints may override single fields. nginx adds `Strict-Transport-Security`, which browsers obey over
TLS only (RFC 6797, 8.1).
"""

from werkzeug.wrappers import Response

HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "cross-origin",
    "Cache-Control": "no-store",
}


def add(response: Response) -> Response:
    """Add each field that the endpoint has not set."""
    headers = response.headers
    given = {name.lower() for name, _ in headers}
    for name, value in HEADERS.items():
        if name.lower() not in given:
            headers.add(name, value)
    return response
