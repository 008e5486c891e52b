"""What can go wrong at OpenAI, by whose fault: the caller's input, OpenAI itself, or the operator's account."""

from broker.errors.base import CallerFault, Fault


class RefusedByOpenAI(CallerFault):
    """OpenAI found the caller's input wrong; the sentence is OpenAI's own, without secrets."""

    code = "refused_by_openai"
    sentence = "OpenAI refused the request as invalid"


class TemperatureRefused(RefusedByOpenAI):
    """The model takes no `temperature`: to be asked again without it."""

    code = "temperature_not_supported"


class UpstreamFault(Fault):
    """OpenAI is at fault, or the operator's account there. `retryable` says whether to try again at once."""

    status = 502
    code = "openai_failed"
    sentence = "OpenAI could not answer; try again later"
    retryable = False


class OpenAIUnreachable(UpstreamFault):
    """Asked again already, and in vain: clients' own tries on top would make nine of one."""

    code = "openai_unreachable"
    sentence = "OpenAI cannot be reached; try again later"
    retryable = True
    should_retry = False


class OpenAIBroken(UpstreamFault):
    """A status of 409 or 5xx: by OpenAI's own SDKs' rule, worth another try; the broker's have been made."""

    retryable = True
    should_retry = False


class OpenAINonsense(UpstreamFault):
    code = "openai_answer_invalid"
    sentence = "OpenAI's answer could not be understood; try again later"


class OpenAIRefusedBroker(UpstreamFault):
    """OpenAI refused the broker, not the caller: its key, its country, its model, its unpaid bill."""

    code = "openai_refused"
    sentence = "OpenAI does not serve this broker at present; its operator has to act"
    should_retry = False


class OpenAIRefusedKey(OpenAIRefusedBroker):
    """The operator's key is wrong, revoked, or not of a member of the organisation."""


class OpenAIOutOfQuota(OpenAIRefusedBroker):
    code = "openai_quota_exhausted"
    sentence = "This broker's OpenAI account has no quota left; its operator has to act"


class OpenAIRateLimited(UpstreamFault):
    status = 503
    code = "openai_rate_limited"
    sentence = "OpenAI is receiving too many requests from this broker; try again later"
    retryable = True


class OpenAITimeout(UpstreamFault):
    status = 504
    code = "openai_timeout"
    sentence = "OpenAI did not answer in time; try again later"
    should_retry = False  # a person has waited long enough to be told


class OpenAIWaited(OpenAITimeout):
    """OpenAI waited too long for our request (408): worth another try."""

    retryable = True


class StreamBroken(UpstreamFault):
    """The stream ended, or carried an error, before OpenAI said that it had finished."""

    code = "openai_stream_broken"
    sentence = "OpenAI broke off its answer; try again later"
