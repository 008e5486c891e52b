"""What every answer tells a browser not to do with it: https://owasp.org/www-project-secure-headers/.

The broker answers pages on other origins, so reading stays CORS's business; nothing it sends is a
page, a frame or a script, unless an endpoint says so by a header of its own. `Strict-Transport-Security` is
not here: a browser obeys it over TLS alone (RFC 6797, 8.1), and that is nginx's.
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
    """Set each header that the endpoint has not set itself."""
    headers = response.headers
    given = {name.lower() for name, _ in headers}
    for name, value in HEADERS.items():
        if name.lower() not in given:
            headers.add(name, value)
    return response
