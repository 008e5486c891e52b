"""Everything that can go wrong with a call, by whose fault it is.

A fault carries what a client may know of it: the HTTP status, a stable machine word, a sentence
for a person. `wire` is the only place that turns one into bytes. OpenAI's are in `openai_faults`,
those of the operator's limits in `limit_faults`.
"""

from collections.abc import Mapping


class Fault(Exception):
    """A call that cannot be answered.

    `sentence` replaces the class's own; `retry_after` is in seconds, None where trying again at a
    known time does not help; `details` are further members of the error body.
    """

    status = 500
    code = "internal_error"
    sentence = "The broker could not answer this call"
    should_retry = True  # whether a client that asks again by itself, as OpenAI's SDKs do, may do so

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
    """The request is at fault: asking again in the same words gives the same refusal."""

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
    """A code of its own, so that a page whose tab slept can refresh its session once and ask again."""

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
    """A parameter of OpenAI's format that is wrong, or not passed on; `code` is OpenAI's word for such a case."""

    def __init__(self, param: str, sentence: str, code: str) -> None:
        super().__init__(f"'{param}' {sentence}", details={"param": param})
        self.code = code


class ModelNotFound(CallerFault):
    """Status and code as OpenAI has them."""

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
    """Asking again today is in vain, and waiting for tomorrow would hang the page."""

    status = 429
    code = "daily_limit_exceeded"
    sentence = "GPT Rate limit exceeded."
    should_retry = False


class OurFault(Fault):
    """A part of the broker is missing: 503, and asking again in a moment may help."""

    status = 503
    code = "unavailable"
    sentence = "The broker cannot serve at present; try again later"


class UsageUnavailable(OurFault):
    code = "usage_unavailable"
    sentence = "Calls cannot be counted at present; try again in a moment"


class UsageUncertain(UsageUnavailable):
    """Redis was asked and did not answer: whether it has counted the call, nobody knows yet."""


class SignInUnavailable(OurFault):
    code = "sign_in_unavailable"
    sentence = "The token cannot be checked at present; try again in a moment"


class WorkerStopping(OurFault):
    code = "restarting"
    sentence = "The broker is restarting; try again in a moment"


class ClientLeft(Fault):
    """Nobody is there to read the answer. 499 is nginx's status for it; it only shows in log and metrics."""

    status = 499
    code = "client_left"
    sentence = "The client closed the connection"
