"""Failed checks per address: a burst, then one a second."""

from broker.auth.remote_check import BURST, MAX_ADDRESSES, FailureBuckets


def test_an_address_may_cause_a_burst_and_then_one_a_second() -> None:
    """The bucket refills up to the burst."""
    buckets = FailureBuckets()
    for _ in range(BURST):
        assert buckets.wait("a", 100.0) == 0
        buckets.note_failure("a", 100.0)
    assert buckets.wait("a", 100.0) == 1.0
    assert buckets.wait("a", 100.5) == 0.5
    assert buckets.wait("a", 101.0) == 0
    assert buckets.wait("b", 100.0) == 0
    assert buckets.wait("a", 100.0 + 10 * BURST) == 0


def test_failures_beyond_the_burst_lengthen_the_wait() -> None:
    """Concurrent checks may exceed the burst; the wait is still bounded."""
    buckets = FailureBuckets()
    for _ in range(10 * BURST):
        buckets.note_failure("a", 100.0)
    assert buckets.wait("a", 100.0) == BURST + 1


def test_the_memory_is_bounded() -> None:
    """The least recently updated address is dropped."""
    buckets = FailureBuckets()
    for number in range(MAX_ADDRESSES + 10):
        buckets.note_failure(str(number), 100.0)
    assert len(buckets._buckets) == MAX_ADDRESSES
