"""The answers of the OpenAPI document: their headers, and every error, read off the tree of faults itself. Pure."""

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
        ("RateLimit", 'The calls left, and the seconds until the day turns: `"daily";r=12;t=30211`',
         {"type": "string"}, False),
        ("Retry-After", "Seconds after which asking again may help", {"type": "integer", "minimum": 1}, True),
        ("X-Should-Retry", "`false`: OpenAI's SDKs do not ask again by themselves", {"const": "false"}, False),
        ("WWW-Authenticate", "RFC 6750", {"const": "Bearer"}, True),
        ("Allow", "The methods that the endpoint answers", {"type": "string"}, True),
    )
}  # fmt: skip
OF_STATUS = {401: ["WWW-Authenticate"], 405: ["Allow"], 429: ["Retry-After"], 503: ["Retry-After"]}
BEFORE_SIGN_IN = frozenset({401, 405})
WITH_A_BODY = frozenset({408, 413, 415})
OF_OTHERS = frozenset({404, 499})  # of a path or a model that is not there; of a client that is not
FOR_THE_OPERATOR = frozenset({"not_public"})
OF_COUNTED_CALLS = frozenset({"daily_limit_exceeded", "too_many_calls_in_flight"})


def good(description: str, content: Content, *, signed_in: bool = True) -> Content:
    """An answer of 200; `content` by its media type."""
    return {"description": description, "content": content, "headers": _headers(200, signed_in=signed_in)}


def errors(form: str, *, has_body: bool, is_counted: bool = True) -> Answers:
    """What a signed-in user's request may end in besides, in the schema `form`."""
    left_out = OF_OTHERS | (frozenset() if has_body else WITH_A_BODY) | (frozenset() if is_counted else {400})
    kinds = [kind for kind in faults() if kind.status not in left_out and (is_counted or _may_end_any_request(kind))]
    return {str(status): _answer(form, status, kinds) for status in sorted({kind.status for kind in kinds})}


def error(form: str, status: int, *, signed_in: bool = True) -> Content:
    """The answer of that status: what it means by each code."""
    return _answer(form, status, list(faults()), signed_in=signed_in)


def faults(kind: type[Fault] = Fault) -> Iterator[type[Fault]]:
    """Every kind of fault that a user may meet."""
    if kind.code not in FOR_THE_OPERATOR:
        yield kind
    for below in kind.__subclasses__():
        yield from faults(below)


def _may_end_any_request(kind: type[Fault]) -> bool:
    return not issubclass(kind, UpstreamFault) and kind.code not in OF_COUNTED_CALLS


def _answer(form: str, status: int, kinds: list[type[Fault]], *, signed_in: bool = True) -> Content:
    codes = {kind.code: kind.sentence for kind in kinds if kind.status == status}
    return {
        "description": "\n".join(f"- `{code}`: {sentence}" for code, sentence in sorted(codes.items())),
        "content": {"application/json": {"schema": {"$ref": f"#/components/schemas/{form}"}}},
        "headers": _headers(status, signed_in=signed_in),
    }


def _headers(status: int, *, signed_in: bool) -> Content:
    names = ["X-Request-Id", *OF_STATUS.get(status, [])]
    names += ["RateLimit-Policy", "RateLimit"] if signed_in and status not in BEFORE_SIGN_IN else []
    names += ["X-Should-Retry"] if status in (429, 502, 503, 504) else []
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}
