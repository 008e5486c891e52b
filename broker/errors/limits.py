"""What the operator's limits refuse: whom, how much, how many at once."""

from broker.errors.base import CallerFault, OurFault


class CallerBlocked(CallerFault):
    status = 403
    code = "blocked"
    sentence = "This account may not use this service"


class AnonymousRefused(CallerFault):
    """Anonymous sign-ins make accounts for nothing: a limit for each account limits nothing."""

    status = 403
    code = "anonymous_not_allowed"
    sentence = "Anonymous users may not use this service; sign in with an account"


class TooManyBadTokens(CallerFault):
    """A token that only Supabase can judge, from an address that has sent it many bad ones."""

    status = 429
    code = "too_many_bad_tokens"
    sentence = "Too many bad tokens came from this address; try again in a moment"


class TooManyMessages(CallerFault):
    code = "too_many_messages"
    sentence = "There are too many messages in the request"


class PromptTooLong(CallerFault):
    code = "prompt_too_long"
    sentence = "The text of the messages is too long"


class RequestTooSlow(CallerFault):
    status = 408
    code = "request_too_slow"
    sentence = "The request did not arrive in time"


class TooManyCallsInFlight(CallerFault):
    status = 429
    code = "too_many_calls_in_flight"
    sentence = "Too many of your calls are under way; wait for one to end"


class WorkerBusy(OurFault):
    code = "busy"
    sentence = "The broker has too many calls under way; try again in a moment"
