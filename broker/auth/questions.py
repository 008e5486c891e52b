"""How often Supabase may be asked in vain because of one address. Pure: the caller passes the time."""

from collections import OrderedDict

IN_A_ROW = 60  # refused tokens from one address for which Supabase is asked one after the other
REGAINED = 1.0  # questions a second that an address regains
ADDRESSES = 10_000  # remembered; more push out those that were heard of least lately


class Questions:
    """A bucket for each address that has sent bad tokens; a good token costs nothing."""

    def __init__(self) -> None:
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def wait(self, address: str, now: float) -> float:
        """Seconds until a token from `address` may cause a question; 0 if it may now. `now`: any steady clock."""
        return max(0.0, (1.0 - self._left(address, now)) / REGAINED)

    def note_refusal(self, address: str, now: float) -> None:
        """A question for `address` was in vain."""
        left = self._left(address, now) - 1.0
        self._buckets[address] = (max(left, -float(IN_A_ROW)), now)
        self._buckets.move_to_end(address)
        if len(self._buckets) > ADDRESSES:
            self._buckets.popitem(last=False)

    def _left(self, address: str, now: float) -> float:
        left, since = self._buckets.get(address, (float(IN_A_ROW), now))
        return min(float(IN_A_ROW), left + (now - since) * REGAINED)
