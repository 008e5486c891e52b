"""Paths of OpenAI's API: which errors have OpenAI's shape, and what to say about a path that is not served. Pure.

https://platform.openai.com/docs/api-reference.
"""

from collections.abc import Collection

from broker.errors.base import EndpointUnknown, Fault

PREFIX = "v1"
_OFFERED = ("chat", "responses", "models", "usage")  # first segments, after /v1, of the broker's own endpoints
_OPENAI = frozenset(
    {*_OFFERED, "assistants", "audio", "batches", "completions", "containers", "conversations", "embeddings", "evals",
     "files", "fine_tuning", "images", "moderations", "organization", "realtime", "threads", "uploads",
     "vector_stores", "videos"}
)  # fmt: skip


def is_openai_path(path: str) -> bool:
    """Return whether errors at `path` have OpenAI's shape: under /v1, and where a base URL lacks it."""
    segments = _segments(path)
    return segments[:1] == [PREFIX] or segments[:1] in ([name] for name in _OPENAI)


def unknown_endpoint(path: str, offered: Collection[str]) -> Fault:
    """Return the 404 for `path`. `offered`: the paths under /v1 that are served."""
    segments = _segments(path)
    rest = [segment for segment in segments if segment != PREFIX]
    if not is_openai_path(path) or not rest or rest[0] not in _OPENAI:
        return EndpointUnknown()
    served = "/".join(["", PREFIX, *rest])
    if rest[0] in _OFFERED and path != served:
        return EndpointUnknown(
            f"The base URL must end in /v1, without a slash after it; the path is then {served[:100]}"
        )
    return EndpointUnknown(f"{served[:100]} is not offered here; there are {', '.join(sorted(offered))}")


def _segments(path: str) -> list[str]:
    return [segment for segment in path.split("/") if segment]
