"""Requests to the tenants, and facts about their containers."""

import time

import requests

from tests.containers.conftest import Stack, current, inspect, run


def call(
    stack: Stack, tenant: str, token: str = "", *, path: str = "/gpt-4o", stream: bool = False
) -> requests.Response:
    """Make a call with the token, by default one of Ada's; the whole answer is read unless `stream` is set."""
    headers = {"Authorization": f"Bearer {token or stack.supabase[tenant].token()}"}
    body = {"messages": "hello", "model": "gpt-4o"}
    return requests.post(stack.url(tenant) + path, json=body, headers=headers, timeout=30, stream=stream)


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


LABEL = '{{index .Config.Labels "org.opencontainers.image.revision"}}'


def revision(tenant: str) -> str:
    """The commit that serves."""
    return inspect(current(tenant), LABEL)


def is_ready(stack: Stack, tenant: str) -> bool:
    """Whether /ready answers 200 on the tenant's port."""
    try:
        return requests.get(stack.url(tenant) + "/ready", timeout=5).status_code == 200
    except requests.RequestException:
        return False


def containers(*options: str) -> set[str]:
    """The names of all containers, stopped ones included."""
    return set(run("docker", "ps", "--all", "--format", "{{.Names}}", *options).split())


def brokers(tenant: str, *options: str) -> list[str]:
    """The names of the tenant's brokers, stopped ones included, the newest first."""
    names = containers("--filter", f"label=gpt-broker.tenant={tenant}", *options)
    return sorted(names, key=lambda name: int(name.rpartition("-")[2]), reverse=True)


def releases(tenant: str) -> list[str]:
    """The images of the releases that an operator can go back to, the newest first."""
    tags = run("docker", "image", "ls", "--filter", f"reference=gpt-broker:{tenant}-*", "--format", "{{.Tag}}").split()
    return [f"gpt-broker:{tag}" for tag in sorted(tags, key=lambda tag: int(tag.rpartition("-")[2]), reverse=True)]


def commit_of(image: str) -> str:
    """The commit that an image was built from."""
    return run("docker", "image", "inspect", "--format", LABEL, image).strip()


def send_signal(container: str, number: int) -> None:
    """Send a signal to a container's first process behind the engine's back, as the kernel would."""
    send = ("python", "-c", f"import os; os.kill({inspect(container, '{{.State.Pid}}')}, {number})")
    run("docker", "run", "--rm", "--pid=host", "--user=0", releases("sksndev")[0], *send)
