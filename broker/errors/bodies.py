"""The JSON body of an error: the wire contract's format, or OpenAI's format under /v1. Pure.

https://platform.openai.com/docs/guides/error-codes.
"""

from broker.errors.base import Fault
from broker.errors.openai_paths import is_openai_path

_TYPES = {429: "rate_limit_error", 503: "service_unavailable_error"}


def body_of(fault: Fault, path: str) -> dict[str, object]:
    """Return the body for a request to `path`."""
    return openais(fault) if is_openai_path(path) else contracts(fault)


def contracts(fault: Fault) -> dict[str, object]:
    """Return the contract's format: a sentence for a person, null, a code for a program, and the details."""
    return {"error": fault.sentence, "message": None, "code": fault.code, **fault.details}


def openais(fault: Fault) -> dict[str, object]:
    """Return OpenAI's format. Members that OpenAI sent with its own error replace the broker's."""
    details = dict(fault.details)
    from_openai = details.pop("openai", {})
    kind = _TYPES.get(fault.status, "invalid_request_error" if fault.status < 500 else "server_error")
    error = {
        "message": fault.openai_sentence,
        "type": kind,
        "param": None,
        "code": fault.openai_code or fault.code,
        **details,
    }
    return {"error": error | (from_openai if isinstance(from_openai, dict) else {})}
