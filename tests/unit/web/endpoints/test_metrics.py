"""/metrics chooses the format that the scraper accepts."""

import pytest

from tests.apps import make_client

PLAIN = "text/plain; version=0.0.4"
OPEN = "application/openmetrics-text; version=1.0.0"


@pytest.mark.parametrize(
    ("accept", "answered"),
    [
        ("*/*", PLAIN),
        ("text/plain;version=0.0.4;q=0.5,*/*;q=0.1", PLAIN),
        ("application/openmetrics-text", OPEN),
        # Prometheus 3's own
        ("application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,text/plain;version=0.0.4;q=0.3", OPEN),
        ("application/openmetrics-text; version=abc", PLAIN),
        ("text/plain; version=x.y", PLAIN),
        ("application/openmetrics-text; version=9.9.9", PLAIN),
    ],
)
def test_an_unknown_version_gets_the_oldest_format(accept: str, answered: str) -> None:
    """The content type never names a version that the text does not have."""
    response = make_client().get("/metrics", headers={"Accept": accept})
    assert response.status_code == 200
    assert response.content_type.startswith(answered)
    assert "gpt_broker_start_time_seconds" in response.text
