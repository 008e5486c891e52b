"""Errors of calls to OpenAI: the caller's input, OpenAI itself, or the operator's account."""

from typing import Self

from broker.errors.base import CallerFault, Fault
from broker.errors.network import kind_of


class RefusedByOpenAI(CallerFault):
    """OpenAI refused the caller's input. The sentence is OpenAI's own, with account names masked."""

    code = "refused_by_openai"
    sentence = "OpenAI refused the request as invalid"


class ParameterUnsupported(RefusedByOpenAI):
    """The model does not support `param`. `openai.refused_parameters` decides whether to ask again without it."""

    @property
    def param(self) -> str:
        """Return the parameter's name, '' if OpenAI gave none."""
        error = self.details.get("openai")
        return str(error.get("param") or "") if isinstance(error, dict) else ""


class NotStored(RefusedByOpenAI):
    """OpenAI does not have a stored response or item of the caller's: it has expired, or `store` was false."""

    status = 404
    code = "not_stored"
    sentence = "OpenAI does not have this response any more"


class UpstreamFault(Fault):
    """OpenAI failed, or refused the operator's account.

    `retryable`: an immediate retry may succeed. The broker retries for the older endpoints, whose clients do not, and
    then clears `should_retry`. Under /v1 OpenAI's SDKs retry.
    """

    status = 502
    code = "openai_failed"
    sentence = "OpenAI could not answer; try again later"
    retryable = False


class OpenAIUnreachable(UpstreamFault):
    code = "openai_unreachable"
    sentence = "OpenAI cannot be reached; try again later"
    retryable = True
    kind = "cut"  # see `broker.errors.network`

    @classmethod
    def because_of(cls, error: BaseException) -> Self:
        """The fault for a failed connection."""
        fault = cls()
        fault.kind = kind_of(error)
        return fault


class OpenAIBroken(UpstreamFault):
    """Status 409 or 5xx. OpenAI's SDKs retry these."""

    retryable = True


class OpenAINonsense(UpstreamFault):
    code = "openai_answer_invalid"
    sentence = "OpenAI's answer could not be understood; try again later"


class OpenAIRefusedBroker(UpstreamFault):
    """OpenAI refused the broker itself: its key, country, model or unpaid bill."""

    code = "openai_refused"
    sentence = "OpenAI does not serve this broker at present; its operator has to act"
    should_retry = False


class OpenAIRefusedKey(OpenAIRefusedBroker):
    """The operator's key is wrong, revoked, or its owner is not a member of the organisation."""


class OpenAIOutOfQuota(OpenAIRefusedBroker):
    code = "openai_quota_exhausted"
    sentence = "This broker's OpenAI account has no quota left; its operator has to act"
    openai_code = "insufficient_quota"  # LangChain.js stops its retries at this code only


class OpenAIRateLimited(UpstreamFault):
    status = 503
    code = "openai_rate_limited"
    sentence = "OpenAI is receiving too many requests from this broker; try again later"
    retryable = True


class OpenAITimeout(UpstreamFault):
    status = 504
    code = "openai_timeout"
    sentence = "OpenAI did not answer in time; try again later"
    should_retry = False  # the user has waited for the whole time-out already


class OpenAIWaited(OpenAITimeout):
    """OpenAI waited too long for the request (408)."""

    retryable = True
    should_retry = True


class StreamBroken(UpstreamFault):
    """The stream ended or carried an error before its `finish_reason`."""

    code = "openai_stream_broken"
    sentence = "OpenAI broke off its answer; try again later"
