"""The body of a request to OpenAI: the same JSON, whether a long text is encoded or copied."""

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.errors.base import BodyNotJson
from broker.openai.requests import json_body
from broker.openai.requests.json_body import encode

TEXTS = st.text(st.characters(exclude_categories=["Cs"])) | st.text("ab", min_size=8)
BODIES = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)


def plain(body: object) -> bytes:
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()


@given(body=st.dictionaries(TEXTS, BODIES, max_size=4))
def test_texts_that_are_copied_give_the_same_json(body: dict[str, Any]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_body, "LONG", 4)
        assert encode(body) == plain(body)


@pytest.mark.parametrize("sign", ['"', "\\", "\n", "\x00", "\x1f", "é", "😀"])
def test_one_sign_to_escape_in_a_long_text_is_escaped(sign: str) -> None:
    body = {"url": "x" * json_body.LONG + sign, "other": "y" * json_body.LONG}
    assert encode(body) == plain(body)


def test_an_image_is_copied(monkeypatch: pytest.MonkeyPatch) -> None:
    """The encoder does not see it, which would take most of the time of a call with an image."""
    body = {"messages": [{"content": [{"image_url": {"url": "data:image/png;base64," + "QUJD" * 100_000}}]}]}
    seen: list[int] = []
    encode_all = json_body._ENCODER.encode

    def watched(given: Any) -> str:
        seen.append(len(str(given)))
        return encode_all(given)

    monkeypatch.setattr(json_body._ENCODER, "encode", watched)
    encoded = encode(body)
    assert seen[0] < 1000
    assert encoded == plain(body)


@pytest.mark.parametrize("value", [math.nan, math.inf, "\ud800", "x" * json_body.LONG + "\ud800"])
def test_a_value_outside_json_is_refused(value: object) -> None:
    with pytest.raises(BodyNotJson):
        encode({"temperature": value, "url": "x" * json_body.LONG})
