"""All keys of a project as text, to be read into another Redis: a single one, Sentinel, a Cluster, Valkey.

One JSON object a line. The first names the format, each other one a key with its value as DUMP gives it and the Unix
time (ms) at which it expires (-1: never). The last holds the number of keys: a part of a file is refused. The receiving
server must be as new as the sending one: https://redis.io/docs/latest/commands/restore/.
"""

import base64
import binascii
import json
from collections.abc import Iterable, Iterator

from broker.quota.calls.keys import pattern_of_project
from broker.quota.users.redis_access import RedisAccess

FORMAT = "gpt-broker-keys 1"

# Result: the value and the time at which the key expires; nothing if it has just expired.
DUMP = """
local value = redis.call('DUMP', KEYS[1])
return value and {value, redis.call('PEXPIRETIME', KEYS[1])} or {}
"""

# ARGV: the time at which the key expires (-1: never), the value. Replaces an older value; a copy can be read twice.
RESTORE = """
redis.call('RESTORE', KEYS[1], 0, ARGV[2], 'REPLACE')
if ARGV[1] ~= '-1' then redis.call('PEXPIREAT', KEYS[1], ARGV[1]) end
return 1
"""


class NoCopy(ValueError):
    """The text is no complete copy; nothing was changed."""


def lines_of(redis: RedisAccess, project: str) -> Iterator[str]:
    """Yield the copy of a project, which is the host of SUPABASE_URL. Raises `RedisFailed`."""
    yield json.dumps({"format": FORMAT, "project": project})
    seen: set[str] = set()  # SCAN may name a key twice
    for names in redis.scan(pattern_of_project(project)):
        for name in names:
            found = redis.run(DUMP, (name,)) if name not in seen else ()
            if found:
                seen.add(name)
                value = base64.b64encode(found[0]).decode()
                yield json.dumps({"key": name, "expires": int(found[1]), "value": value})
    yield json.dumps({"keys": len(seen)})


def write(redis: RedisAccess, project: str, lines: Iterable[str]) -> int:
    """Write a copy of `project`; return the number of keys. Raises `NoCopy` and `RedisFailed`."""
    try:
        first, *keys, last = [json.loads(line) for line in lines if line.strip()]
        found = [(str(one["key"]), int(one["expires"]), base64.b64decode(one["value"], validate=True)) for one in keys]
        is_whole = last["keys"] == len(keys)
        source = (first["format"], first["project"])
    except (ValueError, KeyError, TypeError, binascii.Error):
        raise NoCopy("this is not a whole copy; nothing was changed") from None
    if source[0] != FORMAT or not is_whole:
        raise NoCopy("this is not a whole copy; nothing was changed")
    if source[1] != project:
        raise NoCopy(f"this is a copy of {source[1]}, and SUPABASE_URL names {project}; nothing was changed")
    for key, expires, value in found:
        redis.run(RESTORE, (key,), expires, value)
    return len(found)
