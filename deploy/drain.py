"""Stop the broker of this container when its last connection closes: `python -c "$(cat deploy/drain.py)" 600`.

deploy/stack runs it in a container that gets no new calls. The proxy opens one connection per call, so an established
connection is an open call. After the given seconds, the broker is stopped regardless and ends open calls within its
GRACEFUL_TIMEOUT.
"""

import os
import signal
import sys
import time
from pathlib import Path

OPEN = ("01", "08")  # ESTABLISHED and CLOSE_WAIT in /proc/net/tcp, proc(5)
LOOPBACK = "0100007F"
QUIET = 3  # consecutive seconds without a connection


def open_calls(table: str, port: int) -> int:
    """Count the connections to `port` in the text of /proc/net/tcp, without those from loopback (health checks)."""
    rows = [line.split() for line in table.splitlines()[1:]]
    return sum(
        local.endswith(f":{port:04X}") and state in OPEN and not remote.startswith(LOOPBACK)
        for _, local, remote, state, *_ in rows
    )


def main(limit: float) -> None:
    """Wait at most `limit` seconds, then send SIGTERM to the container's first process."""
    port, end, quiet = int(os.environ.get("PORT") or 8011), time.monotonic() + limit, 0
    while quiet < QUIET and time.monotonic() < end:
        quiet = 0 if open_calls(Path("/proc/net/tcp").read_text(), port) else quiet + 1
        time.sleep(1)
    os.kill(1, signal.SIGTERM)


if __name__ == "__main__":
    main(float(sys.argv[1]))
