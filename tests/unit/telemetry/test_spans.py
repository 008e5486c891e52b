"""The span of a call: where it belongs in a trace, and its JSON form."""

import time

import pytest

from broker.telemetry.spans import Parent, Span, Value

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


def test_a_traceparent_names_trace_parent_and_sampling() -> None:
    """https://www.w3.org/TR/trace-context/#examples-of-http-traceparent-headers."""
    assert Parent.read(f"00-{TRACE}-{SPAN}-01") == Parent(TRACE, SPAN, True)
    assert Parent.read(f" 00-{TRACE}-{SPAN}-00 ") == Parent(TRACE, SPAN, False)
    assert Parent.read(f"cc-{TRACE}-{SPAN}-01-what-comes-later") == Parent(TRACE, SPAN, True)


@pytest.mark.parametrize("text", [
    None, "", "planted", f"00-{TRACE}-{SPAN}", f"00-{TRACE.upper()}-{SPAN}-01", f"ff-{TRACE}-{SPAN}-01",
    f"00-{'0' * 32}-{SPAN}-01", f"00-{TRACE}-{'0' * 16}-01", f"00-{TRACE}-{SPAN}-01-more",
])  # fmt: skip
def test_without_a_good_one_a_new_trace_begins(text: str | None) -> None:
    """Its parts are ignored as a whole."""
    first, second = Parent.read(text), Parent.read(text)
    assert first.trace_id not in (TRACE, second.trace_id)
    assert (len(first.trace_id), first.span_id, first.is_sampled) == (32, "", True)


def test_the_json_form_has_ids_times_and_typed_values() -> None:
    """Attributes without a value are left out; times are nanoseconds as text."""
    values: dict[str, Value] = {"a": "x", "b": 7, "c": True, "d": 0.5, "e": None}
    encoded = Span(Parent(TRACE, SPAN), "chat gpt-4o", 2.0, values, "client_left").encoded()
    assert (encoded["traceId"], encoded["parentSpanId"], encoded["name"]) == (TRACE, SPAN, "chat gpt-4o")
    assert len(encoded["spanId"]) == 16
    start, end = int(encoded["startTimeUnixNano"]), int(encoded["endTimeUnixNano"])
    assert end - start == 2_000_000_000
    assert abs(end / 1e9 - time.time()) < 5
    assert {one["key"]: one["value"] for one in encoded["attributes"]} == {
        "a": {"stringValue": "x"}, "b": {"intValue": "7"}, "c": {"boolValue": True}, "d": {"doubleValue": 0.5},
        "error.type": {"stringValue": "client_left"},
    }  # fmt: skip
    assert encoded["status"] == {"code": 2}
    well = Span(Parent(TRACE, ""), "x", 0.1, {}).encoded()
    assert well["status"] == {}
    assert "parentSpanId" not in well
