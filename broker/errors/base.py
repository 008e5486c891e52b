"""The base classes of all errors, and the errors that the wire contract names.

A fault carries what a client may know: the HTTP status, a stable machine code, and a sentence for a person.
`web.error_handlers` turns faults into responses. OpenAI's faults are in `errors.openai`, the faults of the
operator's limits in `errors.limits`.
"""

from collections.abc import Mapping
from typing import Literal

# Why a request is not signed in: for the operator's log and metrics. Clients do not see them: see `TokenInvalid`.
Reason = Literal[
    "no_header", "not_bearer", "openai_key", "supabase_key", "not_a_jwt", "wrong_algorithm", "no_user_id", "no_expiry",
    "wrong_issuer", "wrong_audience", "wrong_role", "not_yet_valid", "expired", "unknown_key", "bad_signature",
    "refused_by_supabase",
]  # fmt: skip


class Fault(Exception):
    """A call that cannot be answered.

    `sentence` replaces the class's own. `retry_after` is in seconds, or None if no known delay helps.
    `details` are further members of the error body.
    """

    status = 500
    code = "internal_error"
    openai_code: str | None = None  # replaces `code` under /v1
    sentence = "The broker could not answer this call"
    unit = ""  # of the detail `limit`, for the sentence under /v1
    should_retry = True  # False: the response carries `x-should-retry: false`, which OpenAI's SDKs obey

    def __init__(
        self,
        sentence: str | None = None,
        *,
        retry_after: float | None = None,
        details: Mapping[str, object] | None = None,
    ) -> None:
        self.sentence = sentence or self.sentence
        self.retry_after = retry_after
        self.details = dict(details or {})
        super().__init__(self.sentence)

    @property
    def openai_sentence(self) -> str:
        """Return the sentence under /v1, with the limit: JavaScript clients show nothing else of an error."""
        limit = self.details.get("limit")
        return (
            f"{self.sentence}; the limit is {limit} {self.unit}".rstrip() if isinstance(limit, int) else self.sentence
        )


class CallerFault(Fault):
    """The request is wrong. Sending it again gives the same refusal."""

    status = 400
    code = "invalid_request"


class Unauthenticated(CallerFault):
    """The request names no user. `reason` is for the operator only."""

    status = 401
    code = "authorization_required"
    sentence = "Authorization header is required"
    reason: Reason = "no_header"

    def __init__(self, reason: Reason | None = None) -> None:
        super().__init__()
        self.reason = reason or self.reason


class AuthorizationMissing(Unauthenticated):
    """There is no `Authorization` header."""


class ApiKeyAlone(AuthorizationMissing):
    """Supabase's `apikey` header came without an `Authorization` header."""

    openai_sentence = "The 'apikey' header alone signs nobody in; send 'Authorization: Bearer <Supabase access token>'"


class TokenInvalid(Unauthenticated):
    """The sentence never says which check failed, under /v1 either."""

    code = "invalid_token"
    reason: Reason = "not_a_jwt"
    sentence = "Invalid or expired token"


class BearerMissing(TokenInvalid):
    """The `Authorization` header has another scheme, or a token only."""

    reason = "not_bearer"
    openai_sentence = "The 'Authorization' header must be 'Bearer <Supabase access token>'"


class OpenAIKeySent(TokenInvalid):
    """The token is a key of OpenAI's."""

    reason = "openai_key"
    openai_sentence = "This is an OpenAI API key; use the signed-in user's Supabase access token as the API key instead"


class TokenExpired(TokenInvalid):
    """Has its own code, so that a page whose tab slept can refresh its session once and retry."""

    code = "token_expired"
    reason = "expired"
    openai_sentence = "The Supabase access token has expired; refresh the session and send the new token"


class ParameterRefused(CallerFault):
    """A parameter of OpenAI's format that is wrong or not passed on. `code` is OpenAI's code for the case."""

    def __init__(self, param: str, sentence: str, code: str) -> None:
        super().__init__(f"'{param}' {sentence}", details={"param": param})
        self.code = code


class ModelNotFound(CallerFault):
    """Has the status and code that OpenAI uses."""

    status = 404
    code = "model_not_found"
    sentence = "The model does not exist here"


class EndpointUnknown(CallerFault):
    status = 404
    code = "endpoint_not_found"
    sentence = "Endpoint not found"


class BodyTooLarge(CallerFault):
    status = 413
    code = "body_too_large"
    sentence = "The body of the request is too large"
    unit = "bytes"


class BodyNotJson(CallerFault):
    status = 415
    code = "body_not_json"
    sentence = "The body of the request must be JSON"


class DailyLimitReached(CallerFault):
    """A retry cannot succeed before the next UTC day, and waiting for it would hang the page."""

    status = 429
    code = "daily_limit_exceeded"
    sentence = "GPT Rate limit exceeded."
    should_retry = False
    unit = "calls"

    @property
    def openai_sentence(self) -> str:
        """Return the sentence under /v1: which limit, how high it is, when it resets."""
        limit, resets_at = self.details.get("limit"), self.details.get("resets_at")
        if limit is None:
            return self.sentence
        return f"The daily limit of {limit} {self.unit} is used up; it resets at {resets_at}"


class OurFault(Fault):
    """A part of the broker is unavailable. A retry may succeed."""

    status = 503
    code = "unavailable"
    sentence = "The broker cannot serve at present; try again later"


class UsageUnavailable(OurFault):
    code = "usage_unavailable"
    sentence = "Calls cannot be counted at present; try again in a moment"


class UsageUncertain(UsageUnavailable):
    """Redis did not answer, so it may or may not have counted the call."""


class SignInUnavailable(OurFault):
    code = "sign_in_unavailable"
    sentence = "The token cannot be checked at present; try again in a moment"


class WorkerStopping(OurFault):
    code = "restarting"
    sentence = "The broker is restarting; try again in a moment"


class ClientLeft(Fault):
    """The client disconnected. Status 499 is nginx's; it appears in the log and metrics only."""

    status = 499
    code = "client_left"
    sentence = "The client closed the connection"
