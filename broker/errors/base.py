"""The base classes of all errors, and the errors that the wire contract names.

A fault carries what a client may know: the HTTP status, a stable machine code, and a sentence for a person.
`web.error_handlers` turns faults into responses. OpenAI's faults are in `errors.openai`, the faults of the
operator's limits in `errors.limits`.
"""

from collections.abc import Mapping


class Fault(Exception):
    """A call that cannot be answered.

    `sentence` replaces the class's own. `retry_after` is in seconds, or None if no known delay helps.
    `details` are further members of the error body.
    """

    status = 500
    code = "internal_error"
    sentence = "The broker could not answer this call"
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


class CallerFault(Fault):
    """The request is wrong. Sending it again gives the same refusal."""

    status = 400
    code = "invalid_request"


class AuthorizationMissing(CallerFault):
    status = 401
    code = "authorization_required"
    sentence = "Authorization header is required"


class TokenInvalid(CallerFault):
    status = 401
    code = "invalid_token"
    sentence = "Invalid or expired token"


class TokenExpired(TokenInvalid):
    """Has its own code, so that a page whose tab slept can refresh its session once and retry."""

    code = "token_expired"


class PromptMissing(CallerFault):
    code = "prompt_required"
    sentence = "Missing required 'prompt' query parameter"


class MessagesMissing(CallerFault):
    code = "messages_required"
    sentence = "Missing required 'messages' in body of request"


class MessagesInvalid(CallerFault):
    code = "invalid_messages"
    sentence = "'messages' must be an array"


class MessageIncomplete(CallerFault):
    code = "invalid_message"
    sentence = "each 'message' object must have a 'role' and 'content' property"


class TemperatureInvalid(CallerFault):
    code = "invalid_temperature"
    sentence = "'temperature' must be a number between [0, 1]"


class ModelUnknown(CallerFault):
    code = "invalid_model"
    sentence = "'model' must be one of gpt-4o,gpt-4o-mini"


class NetworkNotListed(CallerFault):
    status = 403
    code = "not_public"
    sentence = "This endpoint is not for the public"


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


class MethodWrong(CallerFault):
    status = 405
    code = "method_not_allowed"
    sentence = "This endpoint does not answer that HTTP method; the 'Allow' header names those that it answers"


class BodyTooLarge(CallerFault):
    status = 413
    code = "body_too_large"
    sentence = "The body of the request is too large"


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
