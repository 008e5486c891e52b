"""Chunks of one stream that differ in their text alone, read without being parsed. Pure.

OpenAI sends a chunk of some 300 bytes for every few letters. All of it is the same in every chunk but the text, and the
padding that hides the text's length (`stream_options.include_obfuscation`); to parse it took most of a token's time.
"""

from json.decoder import scanstring  # type: ignore[attr-defined]  # there, and not in the types

_KEY = '"content":"'
_PADDING = '"obfuscation":"'


class ChunkPattern:
    """What stands around the text of a chunk."""

    __slots__ = ("_after", "_before", "_end")

    def __init__(self, before: str, after: str, end: str) -> None:
        """`after`: what follows the text, up to the padding; `end`: what follows that, '' where there is none."""
        self._before = before
        self._after = after
        self._end = end

    def filled(self, text: str) -> str:
        """A chunk with this text, which has to be as it stands in JSON."""
        return f'{self._before}{text}"{self._after}{self._end}'

    def text_of(self, chunk: str) -> str | None:
        """The text of a chunk of this pattern; None where it has another, and has to be parsed."""
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
    """The pattern of a chunk that says this text; None where it is not plain where the text stands."""
    before, key, rest = chunk.partition(_KEY)
    if not key or _KEY in rest:
        return None
    start = len(before) + len(key)
    found, at = scanstring(chunk, start)
    if found != text:
        return None
    after, padding, end = chunk[at:].partition(_PADDING)
    return ChunkPattern(chunk[:start], after + padding, end[end.find('"') :] if padding else "")
