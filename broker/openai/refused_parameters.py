"""Parameters that a model refuses: leaves them out, asks OpenAI again, and remembers them for an hour.

Successor models refuse parameters that older clients send, some of them only with certain reasoning efforts
(https://platform.openai.com/docs/guides/latest-model). Only parameters that tune sampling are left out. A refusal of a
parameter that changes the meaning of the answer, such as `stop` or `tools`, goes to the client. Serves both APIs.
"""

import logging
import time
from collections.abc import Callable, Collection
from typing import Any, TypeVar

from broker.errors.openai import ParameterUnsupported

log = logging.getLogger(__name__)

Body = dict[str, Any]
# An API, a model, and the reasoning effort of a request: a model may accept a parameter on one API only, or with one
# effort only.
Key = tuple[str, str, str]
Response = TypeVar("Response")

MEMORY = 3600.0  # seconds for which a refusal is remembered
MOST_KEYS = 1000  # clients choose the effort, so the number of keys is bounded
EFFORT = "reasoning_effort"
NO_EFFORT = f"{EFFORT}=none"  # the change for function tools, which chat completions take with this effort only


class RefusedParameters:
    """The refusals that one worker has seen, by model and reasoning effort."""

    def __init__(self, droppable: Collection[str], clock: Callable[[], float] = time.monotonic) -> None:
        """`droppable`: the parameters that may be left out. `clock` is in seconds."""
        self._droppable = frozenset(droppable)
        self._clock = clock
        self._refused: dict[Key, dict[str, float]] = {}  # each change with the time of its refusal

    def ask(self, body: Body, attempt: Callable[[Body], Response]) -> tuple[Response, tuple[str, ...]]:
        """Call `attempt` with `body` without the parameters that its model refuses.

        Returns the response and the changes, such as `temperature` or `reasoning_effort=none`. `attempt` is called
        again after each refusal of a droppable parameter, once per parameter. Raises what `attempt` raises. For a
        model without the effort `none`, it raises the refusal of the function tools.
        """
        changes: list[str] = []
        body, tools_refused = self._without_known(body, changes), None
        while True:
            try:
                response = attempt(body)
            except ParameterUnsupported as refusal:
                change = self._change_for(body, refusal)
                if change is None:
                    raise tools_refused[1] if tools_refused and refusal.param == EFFORT else refusal from None
                if change == NO_EFFORT:
                    tools_refused = body, refusal
                else:
                    self._remember(body, change)
                body = _changed(body, change)
                changes.append(change)
                body = self._without_known(body, changes)
            else:
                if tools_refused:  # only now is it known that the model has the effort
                    self._remember(tools_refused[0], NO_EFFORT)
                return response, tuple(changes)

    def known(self, body: Body) -> tuple[str, ...]:
        """Return the changes that `ask` makes to `body` before it is sent."""
        changes: list[str] = []
        self._without_known(body, changes)
        return tuple(changes)

    def _without_known(self, body: Body, changes: list[str]) -> Body:
        if not self._refused:
            return body
        now = self._clock()
        for name in (NO_EFFORT, *body):  # the effort first, as it decides about the others
            refused_at = self._refused.get(_key(body), {}).get(name)
            if refused_at is not None and now - refused_at < MEMORY and _applies(body, name):
                body = _changed(body, name)
                changes.append(name)
        return body

    def _change_for(self, body: Body, refusal: ParameterUnsupported) -> str | None:
        param = refusal.param
        if param == EFFORT:  # "Function tools with reasoning_effort are not supported …", or an unknown effort
            return NO_EFFORT if "Function tools" in refusal.sentence and _applies(body, NO_EFFORT) else None
        return param if param in self._droppable and param in body else None

    def _remember(self, body: Body, change: str) -> None:
        if len(self._refused) >= MOST_KEYS:
            self._refused.clear()
        _, model, effort = key = _key(body)
        refused, now = self._refused.setdefault(key, {}), self._clock()
        if now - refused.get(change, -MEMORY) >= MEMORY:
            log.warning(
                "model refuses a parameter; requests go without it for an hour",
                extra={"model": model, "effort": effort[:16], "parameter": change},
            )
        refused[change] = now


def _key(body: Body) -> Key:
    """Return the API, the model and the effort of a request; the model's default effort is ''."""
    api = "chat completions" if "messages" in body else "responses"
    reasoning = body.get("reasoning")
    effort = reasoning.get("effort") if isinstance(reasoning, dict) else body.get(EFFORT)
    return api, str(body.get("model")), str(effort or "")[:64]


def _applies(body: Body, change: str) -> bool:
    if change != NO_EFFORT:
        return True
    return bool(body.get("tools") or body.get("functions")) and body.get(EFFORT) != "none"


def _changed(body: Body, change: str) -> Body:
    if change == NO_EFFORT:
        return {**body, EFFORT: "none"}
    return {name: value for name, value in body.items() if name != change}
