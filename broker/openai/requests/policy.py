"""The operator's terms, laid on a request to OpenAI. Pure.

Every request gets the model's patch. One in OpenAI's own format, in which callers choose much themselves, also gets
an upper bound for its answer, because somebody pays for it, and a name of the user's that says nothing to anyone else;
the patch comes last, so that an operator can undo either. The older endpoints send what they always sent: a bound of
the answer would take room from the longest prompts, which some app relies on.
"""

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Body = dict[str, Any]
Patches = Mapping[str, Mapping[str, object]]


@dataclass(frozen=True, slots=True)
class Terms:
    """`patches`: a merge patch by each model's name; `most_tokens`: the longest answer; `secret`: nobody else's."""

    patches: Patches
    most_tokens: int
    secret: str

    def patched(self, asked: Body) -> Body:
        """The body of the request to OpenAI for `asked`, which names its model as clients do."""
        patched: Body = merge_patch(asked, self.patches[asked["model"]])
        return patched

    def request(self, asked: Body, user_id: str) -> Body:
        """The same for what a user asks in OpenAI's own format."""
        bounded = {"max_completion_tokens": self.most_tokens, **asked, "safety_identifier": self.pseudonym(user_id)}
        return self.patched(bounded)

    def pseudonym(self, user_id: str) -> str:
        """What OpenAI knows a user by: the same for every call, and not to be guessed from the id.

        64 characters, OpenAI's limit: https://platform.openai.com/docs/guides/safety-best-practices#safety-identifiers.
        """
        return hmac.new(self.secret.encode(), b"safety_identifier:" + user_id.encode(), hashlib.sha256).hexdigest()


def merge_patch(target: Any, patch: Any) -> Any:
    """`patch` laid over `target` (RFC 7396): null takes a member out; neither argument is changed."""
    if not isinstance(patch, Mapping):
        return patch
    merged = dict(target) if isinstance(target, Mapping) else {}
    for name, value in patch.items():
        if value is None:
            merged.pop(name, None)
        else:
            merged[name] = merge_patch(merged.get(name), value)
    return merged
