"""Reads the text of a chunk without parsing its JSON, if the chunk differs from an earlier one in its text only. Pure.

OpenAI sends a chunk of some 300 bytes for every few letters. Only the text and the padding that hides its length
(`stream_options.include_obfuscation`) differ from chunk to chunk. Parsing took most of a token's time.
"""

from json.decoder import scanstring  # type: ignore[attr-defined]  # there, and not in the types

_KEY = '"content":"'
_PADDING = '"obfuscation":"'


class ChunkPattern:
    """The constant parts of a chunk, around its text."""

    __slots__ = ("_after", "_before", "_end")

    def __init__(self, before: str, after: str, end: str) -> None:
        """`after`: what follows the text, up to the padding. `end`: what follows the padding, or '' without padding."""
        self._before = before
        self._after = after
        self._end = end

    def filled(self, text: str) -> str:
        """Return a chunk with this text, which must be JSON-escaped already."""
        return f'{self._before}{text}"{self._after}{self._end}'

    def text_of(self, chunk: str) -> str | None:
        """Return the text of a chunk of this pattern, or None if the chunk must be parsed."""
        if not chunk.startswith(self._before):
            return None
        try:
            text, at = scanstring(chunk, len(self._before))
        except ValueError:
            return None
        start = at + len(self._after)
        if not chunk.startswith(self._after, at) or not chunk.endswith(self._end, start):
            return None
        padding = chunk[start : len(chunk) - len(self._end)]
        return text if not padding or (self._end and padding.isalnum()) else None


def pattern_of(chunk: str, text: str) -> ChunkPattern | None:
    """Return the pattern of a chunk with this text, or None if the text's place is ambiguous."""
    before, key, rest = chunk.partition(_KEY)
    if not key or _KEY in rest:
        return None
    start = len(before) + len(key)
    found, at = scanstring(chunk, start)
    if found != text:
        return None
    after, padding, end = chunk[at:].partition(_PADDING)
    return ChunkPattern(chunk[:start], after + padding, end[end.find('"') :] if padding else "")
