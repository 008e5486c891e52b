"""Request a path from the broker in this container: `python deploy/probe.py /ready` exits with 0 on status 200.

The image's health check. Uses the standard library only.
"""

import http.client
import os
import sys

TIMEOUT = 3  # seconds


def main(path: str) -> int:
    """Print the body of the response to GET `path` and return the exit status."""
    broker = http.client.HTTPConnection("127.0.0.1", int(os.environ.get("PORT") or 8011), timeout=TIMEOUT)
    try:
        broker.request("GET", path)
        response = broker.getresponse()
        print(response.read().decode(errors="replace").strip())
    except (OSError, http.client.HTTPException) as error:
        print(f"no answer: {type(error).__name__}")
        return 1
    return 0 if response.status == 200 else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
