"""Compares this machine's clock with the `Date` header of its peers (RFC 9110, section 6.6.1)."""

import datetime
from collections.abc import Iterator
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

import requests

from broker.doctor.findings import Finding
from broker.settings.settings import Settings

TOLERANCE = 20  # seconds; `Date` has a resolution of one, and tokens get a leeway of some seconds
TIMEOUT = 5  # seconds


def examine(settings: Settings) -> Iterator[Finding]:
    """Compare the clock with Supabase's and OpenAI's. A wrong clock refuses valid tokens or accepts expired ones."""
    for url in (settings.supabase_url, settings.openai_base_url):
        host = urlsplit(url).hostname
        try:
            response = requests.head(url, timeout=TIMEOUT, allow_redirects=False, verify=settings.ca_file or True)
            now = datetime.datetime.now(datetime.UTC)
            theirs = parsedate_to_datetime(response.headers["Date"])
        except (requests.RequestException, KeyError, ValueError):
            yield Finding(f"clock, compared with {host}", "it sends no Date", is_checked=False)
            continue
        yield Finding(f"clock, compared with {host}", advice((now - theirs).total_seconds()))


def advice(difference: float) -> str:
    """Return advice about a clock that is `difference` seconds ahead; "" if it is right."""
    if abs(difference) <= TOLERANCE:
        return ""
    word = "ahead" if difference > 0 else "behind"
    return f"this host's clock is {abs(difference):.0f} s {word}: tokens are judged wrongly; enable NTP (timedatectl)"
