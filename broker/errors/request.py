"""Errors of a request: its head, framing and encoding, and the fields of the older endpoints.

The wire contract fixes the sentences of the older endpoints.
"""

from broker.errors.base import BodyNotJson, CallerFault


class RequestMalformed(CallerFault):
    sentence = "The request is not well-formed"


class MethodWrong(CallerFault):
    status = 405
    code = "method_not_allowed"
    sentence = "This endpoint does not answer that HTTP method; the 'Allow' header names those that it answers"


class TargetTooLong(CallerFault):
    status = 414
    code = "target_too_long"
    sentence = "The address of the request is too long; send a long prompt in a body"


class ExpectationUnknown(CallerFault):
    status = 417
    code = "expectation_unknown"
    sentence = "The broker cannot meet the request's 'Expect' header"


class HeadTooLarge(CallerFault):
    status = 431
    code = "headers_too_large"
    sentence = "The headers of the request are too large"


class BodyBroken(CallerFault):
    code = "body_broken"
    sentence = "The body of the request is cut short, or not framed as its head says"


class BodyEncoded(CallerFault):
    """Compressed bodies (RFC 9110, 8.4) are refused, since their decoded size is unbounded."""

    status = 415
    code = "body_encoded"
    sentence = "The body of the request must not be compressed"


class JsonRefused(BodyNotJson):
    """JSON that is ambiguous (RFC 7493) or too costly to parse. The sentence names the reason."""

    status = 400
    code = "invalid_json"
    sentence = "The JSON in the body of the request cannot be taken"


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
