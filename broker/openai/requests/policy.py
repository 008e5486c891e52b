"""The operator's policy for requests to OpenAI. Pure.

Every request is checked against the size limits and gets its model's merge patch. A request in OpenAI's own format
also gets an upper bound for its answer, because the operator pays for it, and a pseudonym of the user. The patch
comes last, so the operator can undo either. The older endpoints get no bound: it would shorten the longest possible
prompt, which production apps rely on.
"""

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from broker.errors.limits import PromptTooLong, TooManyMessages
from broker.openai.requests import prompt_size
from broker.openai.requests.responses_api import responses_patch

Body = dict[str, Any]
Patches = Mapping[str, Mapping[str, object]]


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestPolicy:
    """The limits and patches of one tenant.

    `patches`: a merge patch for each model name that clients use. `max_completion_tokens`: upper bound of an answer
    under /v1. `secret`: HMAC key for user pseudonyms. `max_messages`, `max_prompt_characters`: size limits.
    """

    patches: Patches
    max_completion_tokens: int
    max_messages: int
    max_prompt_characters: int
    secret: str = field(repr=False)

    def apply(self, request: Body) -> Body:
        """Return the body for OpenAI of `request`, which names its model as clients do.

        Raises `TooManyMessages` or `PromptTooLong`.
        """
        patched: Body = merge_patch(request, self.patches[request["model"]])
        self._check_size(patched)
        return patched

    def apply_for_user(self, request: Body, user_id: str) -> Body:
        """Return the body for OpenAI of a `request` in OpenAI's own format. Raises as `apply`."""
        bounded = {"max_completion_tokens": self.max_completion_tokens, **request}
        return self.apply({**bounded, "safety_identifier": self.pseudonym(user_id)})

    def apply_to_response(self, request: Body, user_id: str) -> Body:
        """Return the body for OpenAI of a `request` in the format of the Responses API. Raises as `apply`."""
        bounded = {"max_output_tokens": self.max_completion_tokens, **request}
        body: Body = {**bounded, "safety_identifier": self.pseudonym(user_id)}
        patched: Body = merge_patch(body, responses_patch.translate(self.patches[request["model"]]))
        self._check_size(patched)
        return patched

    def pseudonym(self, user_id: str) -> str:
        """Return the user's name at OpenAI: the same for every call, and not derivable from the id without the secret.

        64 characters, OpenAI's limit: https://platform.openai.com/docs/guides/safety-best-practices#safety-identifiers.
        """
        return hmac.new(self.secret.encode(), b"safety_identifier:" + user_id.encode(), hashlib.sha256).hexdigest()

    def _check_size(self, body: Body) -> None:
        messages = body.get("messages") or body.get("input")
        if isinstance(messages, list) and len(messages) > self.max_messages:
            raise TooManyMessages(details={"limit": self.max_messages})
        if prompt_size.count(body) > self.max_prompt_characters:
            raise PromptTooLong(details={"limit": self.max_prompt_characters})


def merge_patch(target: Any, patch: Any) -> Any:
    """Return `patch` applied to `target` (RFC 7396). Null removes a member. Neither argument is changed."""
    if not isinstance(patch, Mapping):
        return patch
    merged = dict(target) if isinstance(target, Mapping) else {}
    for name, value in patch.items():
        if value is None:
            merged.pop(name, None)
        else:
            merged[name] = merge_patch(merged.get(name), value)
    return merged
