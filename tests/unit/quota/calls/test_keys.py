"""UTC days, and the names of a user's keys."""

import pytest

from broker.quota.calls import keys

DAY = keys.Day("2026-11-24", 4_000_000_000)
KEY, PLACES, AMOUNTS, BLOCKED = keys.keys_of("abc.supabase.co", "ada", DAY)


@pytest.mark.parametrize(
    ("now", "name"),
    [(0, "1970-01-01"), (86_399.999, "1970-01-01"), (86_400, "1970-01-02"), (1_795_521_600, "2026-11-24")],
)
def test_a_day_is_a_utc_day(now: float, name: str) -> None:
    """It lasts from 00:00 to 00:00."""
    day = keys.day_at(now)
    assert day.name == name
    assert day.ends_at - 86_400 <= now < day.ends_at


def test_keys_of_a_user_share_a_slot_of_their_own() -> None:
    """The braces are the cluster's hash tag, which no user id can break."""
    assert KEY == "gpt-broker:{abc.supabase.co:ada}:calls:2026-11-24"
    assert AMOUNTS == "gpt-broker:{abc.supabase.co:ada}:amounts:2026-11-24"
    assert BLOCKED == "gpt-broker:{abc.supabase.co:ada}:blocked"
    assert PLACES.partition(":calls")[0] == "gpt-broker:{abc.supabase.co:ada}:places"
    tricky = keys.keys_of("abc:1", "}{a:b", DAY)[0]
    assert tricky.count("{") == tricky.count("}") == 1
    assert keys.keys_of("a", "b:c", DAY) != keys.keys_of("a:b", "c", DAY)
