"""The parameters that each generation of models refuses, on either API.

Sources: OpenAI's latest-model guide and the public issue threads that quote its 400s. `gpt-6-luna` accepts sampling
parameters with reasoning effort `none` only, and function tools likewise.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Refusal = tuple[str, str, str | None]  # the sentence, the parameter and OpenAI's code
PENALTIES = frozenset({"presence_penalty", "frequency_penalty", "logit_bias", "prediction"})
SAMPLING = frozenset({"temperature", "top_p", "top_logprobs"})


@dataclass(frozen=True)
class Generation:
    """`never`: refused always. `without_reasoning`: accepted with effort `none` only. `efforts`: empty if none.

    `least_tokens`: with fewer, chat completions of a model that reasons have no room for an answer.
    """

    never: frozenset[str] = frozenset()
    without_reasoning: frozenset[str] = frozenset()
    efforts: tuple[str, ...] = ()
    tools_with_effort: bool = True
    least_tokens: int = 0

    def refusal(self, body: Mapping[str, Any]) -> Refusal | None:
        """Return the model's first refusal of a chat completion request; None if it accepts the request."""
        effort = body.get("reasoning_effort")
        reasons = bool(self.efforts) and effort != "none"
        if refused := self._refused_parameter(body, effort):
            return refused
        if reasons and not self.tools_with_effort and (body.get("tools") or body.get("functions")):
            sentence = (
                f"Function tools with reasoning_effort are not supported for {body.get('model')} in "
                "/v1/chat/completions. To use function tools, use /v1/responses or set reasoning_effort to 'none'."
            )
            return sentence, "reasoning_effort", None
        if reasons and body.get("max_completion_tokens", self.least_tokens) < self.least_tokens:
            return CUT_SHORT, "", None
        return None

    def response_refusal(self, body: Mapping[str, Any]) -> Refusal | None:
        """Return the model's first refusal of a Responses request. Its codes are null."""
        refused = self._refused_parameter(body, (body.get("reasoning") or {}).get("effort"))
        if refused is None:
            return None
        sentence, param, _ = refused
        return sentence, "reasoning.effort" if param == "reasoning_effort" else param, None

    def _refused_parameter(self, body: Mapping[str, Any], effort: str | None) -> Refusal | None:
        if effort is not None and effort not in self.efforts:
            sentence = f"Unsupported value: 'reasoning_effort' does not support '{effort}'."
            return sentence, "reasoning_effort", UNSUPPORTED[1]
        reasons = bool(self.efforts) and effort != "none"
        for name in body:
            if name in self.never:
                return f"Unsupported parameter: '{name}' is not supported with this model.", name, UNSUPPORTED[0]
            if reasons and name in self.without_reasoning:
                sentence = f"Unsupported value: '{name}' does not support this value with this model."
                return sentence, name, UNSUPPORTED[1]
        return None


CUT_SHORT = (
    "Could not finish the message because max_tokens or model output limit was reached. "
    "Please try again with higher max_tokens."
)
UNSUPPORTED = ("unsupported_parameter", "unsupported_value")
_GPT_6 = Generation(
    never=PENALTIES | {"max_tokens", "stop"},
    without_reasoning=SAMPLING,
    efforts=("none", "low", "medium", "high", "xhigh", "max"),
    tools_with_effort=False,
)
GENERATIONS = {
    "gpt-4o": Generation(),
    "gpt-4o-mini": Generation(),
    "o-strict": Generation(never=frozenset({"temperature"})),
    "gpt-5": Generation(
        never=PENALTIES | SAMPLING | {"max_tokens", "stop"},
        efforts=("minimal", "low", "medium", "high"),
        least_tokens=32,
    ),
    "gpt-6-luna": _GPT_6,
    "gpt-6.1-sol": Generation(
        _GPT_6.never, SAMPLING, ("low", "medium", "high", "xhigh", "max"), tools_with_effort=False
    ),
}
