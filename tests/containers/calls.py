"""Requests to the tenants, and facts about their containers."""

import time

import requests

from deploy.local.supabase_auth import SupabaseStandIn
from tests.containers.conftest import Stack, current, inspect, run


def call(
    stack: Stack, tenant: str, user: str = "ada@example.com", path: str = "/gpt-4o", **options: object
) -> requests.Response:
    """Make a call as one of the cast's users; the whole answer is read unless `stream` is set."""
    supabase: SupabaseStandIn = stack.supabase[tenant]
    headers = {"Authorization": f"Bearer {supabase.token(user)}"}
    body = {"messages": "hello", "model": "gpt-4o"}
    return requests.post(stack.url(tenant) + path, json=body, headers=headers, timeout=30, **options)  # type: ignore[arg-type]


def left(response: requests.Response) -> int:
    """The calls that the user has left today."""
    return int(response.headers["RateLimit"].partition(";r=")[2].partition(";")[0])


def left_now(stack: Stack, tenant: str) -> int:
    """Make a call and return the remaining calls. A worker that has no Redis yet answers 503, which is not counted."""
    for _ in range(20):
        if (response := call(stack, tenant)).status_code != 503:
            break
        time.sleep(1)
    return left(response)


def counted_users(stack: Stack, tenant: str) -> set[bytes]:
    """The keys in the tenant's Redis, without the temporary one of /ready."""
    return {key for key in stack.redis(tenant).scan_iter() if b"{ready}" not in key}


def revision(tenant: str) -> str:
    """The commit that serves."""
    return inspect(current(tenant), '{{index .Config.Labels "org.opencontainers.image.revision"}}')


def is_ready(stack: Stack, tenant: str) -> bool:
    """Whether /ready answers 200 on the tenant's port."""
    try:
        return requests.get(stack.url(tenant) + "/ready", timeout=5).status_code == 200
    except requests.RequestException:
        return False


def containers(*options: str) -> set[str]:
    """The names of all containers, stopped ones included."""
    return set(run("docker", "ps", "--all", "--format", "{{.Names}}", *options).split())
