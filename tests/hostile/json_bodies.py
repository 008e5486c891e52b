"""Hostile JSON bodies. Every endpoint must refuse them with a caller's error at little cost."""

M = 1024 * 1024
SIZE = 8 * M - 64  # bytes: the greatest allowed body


def filled(size: int, with_what: bytes, start: bytes = b"[", end: bytes = b"]") -> bytes:
    """`start` and `end` around as many repetitions as fit into `size` bytes."""
    many = with_what * ((size - len(start) - len(end)) // len(with_what))
    return start + many.removesuffix(b",") + end


def message(content: bytes) -> bytes:
    """A body that is valid except for its content."""
    return b'{"model": "gpt-4o", "messages": [{"role": "user", "content": %s}]}' % content


def pairs(count: int) -> bytes:
    return b",".join(b'"%d":0' % number for number in range(count))


# only the temperature is wrong in these
TEMPERATURES: dict[str, bytes] = {
    "a temperature of 5000 digits": b'{"model":"gpt-4o","messages":"x","temperature":' + b"1" * 5000 + b"}",
    "a temperature of 10^400": b'{"model":"gpt-4o","messages":"x","temperature":1' + b"0" * 400 + b"}",
    "a temperature of 1e999": b'{"model":"gpt-4o","messages":"x","temperature":1e999}',
    "a temperature of -Infinity": b'{"model":"gpt-4o","messages":"x","temperature":-Infinity}',
    "a long exponent": b'{"model":"gpt-4o","messages":"x","temperature":1e' + b"9" * 100_000 + b"}",
    "a long fraction": b'{"model":"gpt-4o","messages":"x","temperature":7.' + b"9" * M + b"}",
}


def bodies(size: int) -> dict[str, bytes]:
    """Bodies by name; those that are hostile by size have `size` bytes."""
    return TEMPERATURES | {
        "empty arrays": filled(size, b"[],"),
        "empty objects": filled(size, b"{},"),
        "zeros": filled(size, b"0,"),
        "fractions": filled(size, b"1.5,"),
        "nulls": filled(size, b"null,"),
        "empty texts": filled(size, b'"",'),
        "members": b"{" + pairs(size // 14) + b"}",
        "messages": filled(size, b'{"role":"user","content":""},', b'{"model":"gpt-4o","messages":[', b"]}"),
        "content of nothing": message(filled(size - 100, b"[],")),
        "commas": b"," * size,
        "quotes": b'"' * size,
        "backslashes": b'"' + b"\\" * size,
        "colons": b"{" + b":" * size,
        "spaces": b" " * size,
        "minus signs": b"[" + b"-" * size,
        "deep arrays": b"[" * size,
        "deep objects": b'{"a":' * (size // 5),
        "deep, and closed": b"[" * 30_000 + b"]" * 30_000,
        "deep within a message": message(b"[" * 500 + b"]" * 500),
        "deep objects within a message": message(b'{"a":' * 300 + b"0" + b"}" * 300),
        "deeper than any message": message(b"[" * 70 + b"]" * 70),
        "a number of a million digits": b"9" * M,
        "numbers of 4000 digits": filled(
            size, b"9" * 4000 + b",", b'{"model":"gpt-4o","temperature":0.5,"messages":[', b"]}"
        ),
        "Infinity within a message": message(b"Infinity"),
        "1e999 within a message": message(b'[{"type": "text", "text": "x", "more": 1e999}]'),
        "messages twice": b'{"model":"gpt-4o","messages":"x","messages":"y"}',
        "a role twice": b'{"model":"gpt-4o","messages":[{"role":"system","content":"x","role":"user"}]}',
        "a name twice, once in disguise": b'{"model":"gpt-4o","messages":"x","mess\\u0061ges":"y"}',
        "a model twice": b'{"model":"gpt-4o","model":"gpt-4o-mini","messages":"x"}',
        "half a character": message(b'"\\ud83d"'),
        "its other half": message(b'"\\udE00 x"'),
        "the halves turned": message(b'"\\ude00\\ud83d"'),
        "half a character in a name": message(b'[{"type": "text", "text": "x", "\\ud800": 1}]'),
        "half a character in bytes": message(b'"\xed\xa0\xbd"'),
        "an invalid byte": message(b'"\xff"'),
        "an overlong slash": message(b'"\xc0\xaf"'),
        "a control character": message(b'"\x01"'),
        "a null byte behind": message(b'"x"') + b"\x00",
        "UTF-16": message(b'"x"').decode().encode("utf-16"),
        "UTF-32": message(b'"x"').decode().encode("utf-32-be"),
        "UTF-7": b"+AHsAIg-messages+ACI-:+ACI-x+ACIAfQ-",
        "two values": message(b'"x"') * 2,
        "a comma too many": b'{"model":"gpt-4o","messages":"x",}',
        "a comment": b'{"model":"gpt-4o",/* */"messages":"x"}',
        "single quotes": b"{'model':'gpt-4o','messages':'x'}",
        "a number with an underscore": b'{"model":"gpt-4o","messages":"x","temperature":0_1}',
        "True": b'{"model":"gpt-4o","messages":True}',
        "a prototype": b'{"__proto__":{"messages":"x"},"model":"gpt-4o"}',
        "no object": b'"messages"',
        "an array of arrays": b"[[[]]]",
        "XML": b'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><a>&b;</a>',
        "YAML": b"messages: !!python/object/apply:os.system [id]",
        "a pickle": b"\x80\x04\x95\x05\x00\x00\x00\x00\x00\x00\x00\x8c\x01x\x94.",
    }


BODIES = bodies(SIZE)
