"""Errors of the operator's limits: blocked users, request sizes, concurrency."""

from broker.errors.base import CallerFault, DailyLimitReached, OurFault


class CallerBlocked(CallerFault):
    status = 403
    code = "blocked"
    sentence = "This account may not use this service"


class NetworkNotListed(CallerFault):
    status = 403
    code = "not_public"
    sentence = "This endpoint is not for the public"


class AnonymousRefused(CallerFault):
    """Anonymous accounts are free to create, so a limit per account does not limit spending."""

    status = 403
    code = "anonymous_not_allowed"
    sentence = "Anonymous users may not use this service; sign in with an account"


class OAuthClientRefused(CallerFault):
    """A token of Supabase's OAuth server lets somebody else's app spend this user's calls.

    Its scopes restrict nothing: https://supabase.com/docs/guides/auth/oauth-server/token-security.
    """

    status = 403
    code = "oauth_client_refused"
    sentence = "This app may not use this service with your account"


class ModelNotInPlan(CallerFault):
    status = 403
    code = "model_not_in_plan"
    sentence = "Your plan does not include this model"


class TooManyBadTokens(CallerFault):
    """Only Supabase can verify the token, and this client address has sent many bad ones."""

    status = 429
    code = "too_many_bad_tokens"
    sentence = "Too many bad tokens came from this address; try again in a moment"


class TooManyMessages(CallerFault):
    code = "too_many_messages"
    sentence = "There are too many messages in the request"
    unit = "messages"


class PromptTooLong(CallerFault):
    code = "prompt_too_long"
    sentence = "The text of the request is too long"
    unit = "characters, tools and schemas included"


class RequestTooSlow(CallerFault):
    status = 408
    code = "request_too_slow"
    sentence = "The request did not arrive in time"


class TooManyCallsInFlight(CallerFault):
    status = 429
    code = "too_many_calls_in_flight"
    sentence = "Too many of your calls are under way; wait for one to end"
    unit = "calls at the same time"


class DailyTokensReached(DailyLimitReached):
    code = "daily_tokens_exceeded"
    unit = "tokens"


class DailySpendReached(DailyLimitReached):
    code = "daily_spend_exceeded"
    unit = "dollars"


class TenantBudgetExhausted(OurFault):
    """All users together have spent the tenant's budget of the day. A retry on the same day fails too."""

    code = "tenant_budget_exhausted"
    sentence = "The service has used up its budget for today; try again tomorrow"
    should_retry = False


class TooManyBytesInFlight(CallerFault):
    status = 429
    code = "too_many_bytes_in_flight"
    sentence = "The requests that you have under way are too large together; wait for one to end"
    unit = "bytes at the same time"


class WorkerBusy(OurFault):
    code = "busy"
    sentence = "The broker has too many calls under way; try again in a moment"
