"""Errors of the older endpoints' requests. The wire contract fixes the sentences."""

from broker.errors.base import CallerFault


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
