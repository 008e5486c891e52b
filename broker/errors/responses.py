"""Faults of the Responses API: responses and items that the caller does not own, and features that are not offered.

Status, code and sentence are OpenAI's own wherever OpenAI has an answer for the case, so that its SDKs and the
frameworks above them react as they do to OpenAI.
"""

from broker.errors.base import CallerFault, OurFault

MAX_ECHO = 128  # characters of an id that a sentence repeats


class ResponseNotFound(CallerFault):
    """An id in a path. OpenAI answers 404 with code null."""

    status = 404
    code = "response_not_found"
    sentence = "Response not found"

    def __init__(self, response_id: str) -> None:
        super().__init__(f"Response with id '{response_id[:MAX_ECHO]}' not found.", details={"openai": {"code": None}})


class PreviousResponseNotFound(CallerFault):
    """`previous_response_id`. OpenAI answers 400 here, with a code that SDKs know."""

    code = "previous_response_not_found"
    sentence = "Previous response not found"

    def __init__(self, response_id: str) -> None:
        sentence = f"Previous response with id '{response_id[:MAX_ECHO]}' not found."
        super().__init__(sentence, details={"param": "previous_response_id"})


class ItemNotFound(CallerFault):
    """An id inside `input`. OpenAI answers 404 with code null and `param` "input"."""

    status = 404
    code = "item_not_found"
    sentence = "Item not found"

    def __init__(self, item_id: str) -> None:
        sentence = f"Item with id '{item_id[:MAX_ECHO]}' not found."
        super().__init__(sentence, details={"param": "input", "openai": {"code": None}})


class StoreRefused(CallerFault):
    """RESPONSES_STORE=refuse. The sentence names the option of each SDK that stores by default."""

    code = "store_refused"
    sentence = (
        "This broker stores no responses, so the request must say 'store': false. openai SDK: store: false (Python: "
        "store=False); Vercel AI SDK: providerOptions: {openai: {store: false}}, or openai.chat(model); Agents SDK: "
        "modelSettings: {store: false} (Python: ModelSettings(store=False)); LangChain: useResponsesApi: false "
        "(Python: use_responses_api=False); pydantic-ai: openai_store=False; TanStack AI: modelOptions: {store: false}"
    )

    def __init__(self) -> None:
        super().__init__(details={"param": "store"})


class OwnershipUnavailable(OurFault):
    """Redis does not answer, so the owner of an id is unknown."""

    code = "ownership_unavailable"
    sentence = "The owner of this response cannot be checked at present; try again in a moment"
