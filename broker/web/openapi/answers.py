"""The responses of the OpenAPI document: headers, and every error, derived from the fault classes. Pure."""

from collections.abc import Iterator

from broker.errors.base import Fault
from broker.errors.openai import UpstreamFault

Content = dict[str, object]
Answers = dict[str, Content]

HEADERS: dict[str, Content] = {
    name: {"description": description, "schema": schema, "required": required}
    for name, description, schema, required in (
        ("X-Request-Id", "The request's own id, as it is in the broker's log", {"type": "string"}, True),
        ("RateLimit-Policy", 'The calls of a day: `"daily";q=50;w=86400`', {"type": "string"}, False),
        ("RateLimit", 'The calls left, and the seconds until the next UTC day: `"daily";r=12;t=30211`',
         {"type": "string"}, False),
        ("Retry-After", "Seconds after which a retry may succeed", {"type": "integer", "minimum": 1}, True),
        ("X-Should-Retry", "`false`: OpenAI's SDKs do not retry", {"const": "false"}, False),
        ("WWW-Authenticate", "RFC 6750", {"const": "Bearer"}, True),
        ("Allow", "The methods that the endpoint supports", {"type": "string"}, True),
    )
}  # fmt: skip
HEADERS_OF_STATUS = {401: ["WWW-Authenticate"], 405: ["Allow"], 429: ["Retry-After"], 503: ["Retry-After"]}
WITHOUT_QUOTA = frozenset({401, 405})
BODY_ERRORS = frozenset({408, 413, 415})
UNLISTED = frozenset({404, 499})  # 404 is listed where it can occur; 499 is never sent
OPERATOR_CODES = frozenset({"not_public"})
QUOTA_CODES = frozenset({"daily_limit_exceeded", "too_many_calls_in_flight"})


def success(description: str, content: Content, *, signed_in: bool = True) -> Content:
    """A response with status 200; `content` by media type."""
    return {"description": description, "content": content, "headers": _headers(200, signed_in=signed_in)}


def errors(form: str, *, has_body: bool, is_counted: bool = True) -> Answers:
    """The error responses to a signed-in user's request, with the schema `form`."""
    excluded = UNLISTED | (frozenset() if has_body else BODY_ERRORS) | (frozenset() if is_counted else {400})
    kinds = [kind for kind in faults() if kind.status not in excluded and (is_counted or _is_possible_anywhere(kind))]
    return {str(status): _answer(form, status, kinds) for status in sorted({kind.status for kind in kinds})}


def error(form: str, status: int, *, signed_in: bool = True) -> Content:
    """The error response with this status, with the meaning of each code."""
    return _answer(form, status, list(faults()), signed_in=signed_in)


def faults(kind: type[Fault] = Fault) -> Iterator[type[Fault]]:
    """Every fault class that a user can meet."""
    if kind.code not in OPERATOR_CODES:
        yield kind
    for subclass in kind.__subclasses__():
        yield from faults(subclass)


def _is_possible_anywhere(kind: type[Fault]) -> bool:
    return not issubclass(kind, UpstreamFault) and kind.code not in QUOTA_CODES


def _answer(form: str, status: int, kinds: list[type[Fault]], *, signed_in: bool = True) -> Content:
    codes = {kind.code: kind.sentence for kind in kinds if kind.status == status}
    return {
        "description": "\n".join(f"- `{code}`: {sentence}" for code, sentence in sorted(codes.items())),
        "content": {"application/json": {"schema": {"$ref": f"#/components/schemas/{form}"}}},
        "headers": _headers(status, signed_in=signed_in),
    }


def _headers(status: int, *, signed_in: bool) -> Content:
    names = ["X-Request-Id", *HEADERS_OF_STATUS.get(status, [])]
    names += ["RateLimit-Policy", "RateLimit"] if signed_in and status not in WITHOUT_QUOTA else []
    names += ["X-Should-Retry"] if status in (429, 502, 503, 504) else []
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}
