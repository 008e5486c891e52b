"""Ask the broker in this container for a path: `python deploy/probe.py /ready`; status 0 if it answers 200.

Needs nothing but Python: it is the image's health check.
"""

import http.client
import os
import sys

TIMEOUT = 3  # seconds


def main(path: str) -> int:
    """The exit status; what `path` answered goes to the output."""
    broker = http.client.HTTPConnection("127.0.0.1", int(os.environ.get("PORT") or 8011), timeout=TIMEOUT)
    try:
        broker.request("GET", path)
        response = broker.getresponse()
        print(response.read().decode(errors="replace").strip())
    except (OSError, http.client.HTTPException) as why:
        print(f"no answer: {type(why).__name__}")
        return 1
    return 0 if response.status == 200 else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
