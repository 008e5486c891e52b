"""What the body of an error says: in the contract's form, or, under /v1, in OpenAI's, which its SDKs read. Pure.

https://platform.openai.com/docs/guides/error-codes.
"""

from broker.errors.base import Fault

_TYPES = {429: "rate_limit_error", 503: "service_unavailable_error"}


def body_of(fault: Fault, path: str) -> dict[str, object]:
    """The body for a request to `path`."""
    return openais(fault) if path == "/v1" or path.startswith("/v1/") else contracts(fault)


def contracts(fault: Fault) -> dict[str, object]:
    """A sentence for a person, a null, a word for a program, and what else there is to know."""
    return {"error": fault.sentence, "message": None, "code": fault.code, **fault.details}


def openais(fault: Fault) -> dict[str, object]:
    """The same in one object. What OpenAI itself said of its error stands in the place of our own words."""
    details = dict(fault.details)
    its_own = details.pop("openai", {})
    kind = _TYPES.get(fault.status, "invalid_request_error" if fault.status < 500 else "server_error")
    error = {"message": fault.sentence, "type": kind, "param": None, "code": fault.code, **details}
    return {"error": error | (its_own if isinstance(its_own, dict) else {})}
