"""The whole stack on this machine without any account: `make demo`.

Starts stand-ins for OpenAI and Supabase Auth and the real broker, signs a user in and prints an answer token by
token. Serves until Ctrl-C; ONCE=1 exits after the answer.
"""

import contextlib
import json
import os
import re
import signal
import sys
from collections.abc import Iterator

import requests

from deploy.local.broker_process import BrokerProcess, DidNotStart, free_port, is_free
from deploy.local.openai_api import OpenAIStandIn
from deploy.local.supabase_auth import PASSWORD, SupabaseStandIn

PORT = 8011
USER = "ada@example.com"
QUESTION = "Why does the sea come and go?"


def main() -> int:
    """Run the demo and return the exit status."""
    signal.signal(signal.SIGTERM, _stop)
    try:
        with contextlib.ExitStack() as stack:
            supabase, broker = _start(stack)
            token = _sign_in(supabase)
            _ask(broker, token)
            _print_curl(broker, token)
            if os.environ.get("ONCE", "") in ("", "0"):
                signal.pause()
    except KeyboardInterrupt:
        print("\n\n  Good-bye.")
    except (DidNotStart, requests.RequestException) as why:
        print(f"\n  The demo cannot go on: {why}", file=sys.stderr)
        return 1
    return 0


def _start(stack: contextlib.ExitStack) -> tuple[SupabaseStandIn, BrokerProcess]:
    openai, supabase = OpenAIStandIn(), SupabaseStandIn(alg="ES256")
    openai.first_token_delay, openai.token_delay = 0.4, 0.04
    for stand_in in (openai, supabase):
        stand_in.start_in_thread()
        stack.callback(stand_in.stop)
    broker = BrokerProcess(_settings(openai, supabase), PORT if is_free(PORT) else free_port())
    stack.callback(broker.stop)
    broker.wait_until("/ready")
    print(f"\n  {broker.url}/   to try it in a browser: {USER}, “{PASSWORD}”")
    print("\n  GPT Broker, with stand-ins for OpenAI and Supabase: no account, no key, nothing leaves this machine.\n")
    print(f"    OpenAI    {openai.url}\n    Supabase  {supabase.url}\n    broker    {broker.url}\n")
    return supabase, broker


def _settings(openai: OpenAIStandIn, supabase: SupabaseStandIn) -> dict[str, str]:
    given = {"REDIS_URL": os.environ["REDIS_URL"]} if os.environ.get("REDIS_URL") else {}
    return given | {
        "OPENAI_API_KEY": openai.key,
        "OPENAI_BASE_URL": openai.url + "/v1",
        "SUPABASE_URL": supabase.url,
        "SUPABASE_SERVICE_KEY": supabase.service_key,
        "DAILY_LIMIT": "50",
        "ID_WHITE_LIST": "[]",
        "PLAYGROUND": "on",
        "SUPABASE_ANON_KEY": supabase.anon_key,
    }


def _sign_in(supabase: SupabaseStandIn) -> str:
    response = requests.post(
        f"{supabase.url}/auth/v1/token?grant_type=password",
        headers={"apikey": supabase.anon_key},
        json={"email": USER, "password": PASSWORD},
        timeout=10,
    )
    response.raise_for_status()
    print(f"  {USER} signs in with Supabase, and asks:\n\n    {QUESTION}\n")
    return str(response.json()["access_token"])


def _ask(broker: BrokerProcess, token: str) -> None:
    with requests.post(
        broker.url + "/stream",
        headers={"Authorization": f"Bearer {token}"},
        json={"messages": QUESTION, "model": "gpt-4o"},
        stream=True,
        timeout=60,
    ) as response:
        response.raise_for_status()
        print("    ", end="")
        for text in _texts(response):
            print(text, end="", flush=True)
        print(f"\n\n  {_quota_left(response)}\n")


def _texts(response: requests.Response) -> Iterator[str]:
    rest = b""
    while data := response.raw.read1(65_536):
        *lines, rest = (rest + data).split(b"\n")
        for line in lines:
            yield json.loads(line)["data"]


def _quota_left(response: requests.Response) -> str:
    """A sentence about the remaining calls, from the RateLimit header fields."""
    limit = re.search(r"q=(\d+)", response.headers["RateLimit-Policy"])
    rest = re.search(r"r=(\d+);t=(\d+)", response.headers["RateLimit"])
    if not limit or not rest:
        return "The response has no RateLimit fields."
    hours, minutes = divmod(int(rest[2]) // 60, 60)
    return f"{rest[1]} of today's {limit[1]} calls are left; the day ends in {hours} h {minutes} min (00:00 UTC)."


def _print_curl(broker: BrokerProcess, token: str) -> None:
    body = json.dumps({"messages": "Hello!", "model": "gpt-4o"})
    print("  The same with curl, as it stands:\n")
    print(f"curl -N {broker.url}/stream -H 'Authorization: Bearer {token}' -d '{body}'\n")
    if os.environ.get("ONCE", "") in ("", "0"):
        print("  Serving until Ctrl-C.", flush=True)


def _stop(_: int, __: object) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
