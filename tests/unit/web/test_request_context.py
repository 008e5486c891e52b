"""A request's context from its first hook to its end."""

import io
import math

import pytest

from broker.caller import Caller
from broker.errors.base import BodyTooLarge
from broker.web import request_context
from broker.web.request_context import RequestContext
from tests.apps import make_app


def test_all_cleanups_run_once_in_reverse_order() -> None:
    """A failing cleanup does not prevent the others."""
    context, undone = RequestContext("1", "GET", "/"), []
    context.at_end(lambda: undone.append("first"))
    context.at_end(lambda: 1 // 0)
    context.at_end(lambda: undone.append("last"))

    with pytest.raises(ZeroDivisionError):
        context.end()
    context.end()
    assert undone == ["last", "first"]


def test_a_body_is_kept_until_it_is_taken() -> None:
    """An answer may take minutes, and many are under way."""
    with make_app().test_request_context("/stream", method="POST", data=b"[1]"):
        request_context.begin()
        request_context.current().caller = Caller("ada", math.inf)
        request_context.read_body()
        assert request_context.current().take_body() == b"[1]"
        assert request_context.current().take_body() == b""
        request_context.current().end()


@pytest.mark.parametrize("head", [{"CONTENT_LENGTH": "11"}, {"HTTP_TRANSFER_ENCODING": "chunked"}])
def test_a_body_beyond_the_limit_is_refused(head: dict[str, str]) -> None:
    """The head may announce it or not; at most one byte too many is read."""
    body = io.BytesIO(b"x" * 100)
    environ = {"wsgi.input": body, "wsgi.input_terminated": True, **head}
    with make_app(MAX_BODY_BYTES="1024").test_request_context("/stream", method="POST", environ_overrides=environ):
        request_context.begin()
        with pytest.raises(BodyTooLarge):
            request_context._whole_body(request_context._announced_size(10), 10)
    assert body.tell() == (0 if "CONTENT_LENGTH" in head else 11)


def test_without_a_length_there_is_no_body() -> None:
    """The end of the body is unknown, so it is not awaited."""
    environ = {"wsgi.input": io.BytesIO(b"x"), "HTTP_TRANSFER_ENCODING": "chunked"}
    with make_app().test_request_context("/stream", method="POST", environ_overrides=environ):
        request_context.begin()
        assert request_context._whole_body(request_context._announced_size(10), 10) == b""
