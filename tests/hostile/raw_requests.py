"""Hostile HTTP: raw requests, and the statuses that they must get.

In `written`, TOKEN stands for a signed-in user's token and BODY for a valid body. Requests that are unusual but allowed
by the standard are here too, with their ordinary status.
"""

import gzip
import struct
import zlib
from dataclasses import dataclass

BODY = b'{"messages": "x"}'
HEALTH = b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n"


@dataclass(frozen=True)
class Raw:
    """The bytes to write, the statuses to expect in order, and whether the client then closes its sending side."""

    name: str
    written: bytes
    statuses: tuple[int, ...]
    cut: bool = False


def post(*lines: bytes, body: bytes = BODY, length: bytes | None = None, path: bytes = b"/gpt-4o") -> bytes:
    """A signed-in POST with more header lines; `length` replaces the true Content-Length, b"" leaves it out."""
    value = str(len(body)).encode() if length is None else length
    head = [b"POST " + path + b" HTTP/1.1", b"Host: x", b"Authorization: Bearer TOKEN", *lines]
    return b"\r\n".join([*head, *([b"Content-Length: " + value] if value else []), b"", b""]) + body


def chunked(body: bytes, *lines: bytes) -> bytes:
    """A signed-in POST whose chunked framing is `body`."""
    return post(b"Transfer-Encoding: chunked", *lines, body=body, length=b"")


def get(target: bytes, *lines: bytes, host: bytes = b"Host: x") -> bytes:
    """A GET request for this target."""
    return b"\r\n".join([b"GET " + target + b" HTTP/1.1", *([host] if host else []), *lines, b"", b""])


ONE_CHUNK = b"11\r\n" + BODY + b"\r\n"

SMUGGLING = [
    Raw("length and chunks", post(b"Transfer-Encoding: chunked", body=b"0\r\n\r\n" + HEALTH), (400,)),
    Raw("chunks and length", chunked(b"0\r\n\r\n" + HEALTH, b"Content-Length: 4"), (400,)),
    Raw("two lengths", post(b"Content-Length: 5"), (400,)),
    Raw("the same length twice", post(b"Content-Length: 17"), (400,)),
    Raw("a list of lengths", post(length=b"17, 17"), (400,)),
    Raw("a negative length", post(length=b"-1"), (400,)),
    Raw("a length with a sign", post(length=b"+17"), (400,)),
    Raw("a hexadecimal length", post(length=b"0x11"), (400,)),
    Raw("a length with an underscore", post(length=b"1_7"), (400,)),
    Raw("a length in superscript", post(length=b"\xb2"), (400,)),
    Raw("an empty length", post(length=b" "), (400,)),
    Raw("a length of 5000 digits", post(length=b"9" * 5000), (400,)),
    Raw("a length of 10^30", post(length=b"1" + b"0" * 30), (413,)),
    Raw("chunked twice", post(b"Transfer-Encoding: chunked, chunked", body=b"0\r\n\r\n", length=b""), (400,)),
    Raw("chunked in two headers", chunked(b"0\r\n\r\n", b"Transfer-Encoding: chunked"), (400,)),
    Raw("chunked, then identity", post(b"Transfer-Encoding: chunked, identity", body=b"", length=b""), (400,)),
    Raw("gzip alone", post(b"Transfer-Encoding: gzip", body=b"", length=b""), (400,)),
    Raw("an unknown transfer coding", post(b"Transfer-Encoding: xchunked", body=b"", length=b""), (400,)),
    Raw("a coding behind a vertical tab", post(b"Transfer-Encoding: \x0bchunked", body=b"", length=b""), (400,)),
    Raw("a space before the colon", post(b"Transfer-Encoding : chunked", body=b"0\r\n\r\n", length=b""), (400,)),
    Raw("a folded header", post(b"Transfer-Encoding:\r\n chunked", body=b"0\r\n\r\n", length=b""), (400,)),
    Raw("chunks in HTTP/1.0", chunked(b"0\r\n\r\n").replace(b"HTTP/1.1", b"HTTP/1.0"), (400,)),
    Raw("an underscore for a hyphen", post(b"Transfer_Encoding: chunked"), (200,)),
    Raw("more body than its length", post(body=BODY + HEALTH, length=b"17"), (200, 200)),
    Raw("junk behind the body", post(body=BODY + b"\x00\x01\r\n\r\n", length=b"17"), (200, 400)),
    Raw("a good request, a bad one", HEALTH + b"GET /\x00 HTTP/1.1\r\n\r\n" + HEALTH, (200, 400)),
    Raw("a request within a body that nobody reads", post(body=HEALTH, path=b"/nope") + HEALTH, (404, 200)),
    Raw("a hundred at once", HEALTH * 100, (200,) * 100),
]

LIES = [
    Raw("less body than its length", post(length=b"1000"), (400,), cut=True),
    Raw("no body at all", post(body=b"", length=b"17"), (400,), cut=True),
    Raw("no last chunk", chunked(ONE_CHUNK), (400,), cut=True),
    Raw("half a chunk", chunked(b"11\r\n{"), (400,), cut=True),
    Raw("a chunk that is longer than it says", chunked(b"5\r\n" + BODY + b"\r\n0\r\n\r\n"), (400,)),
    Raw("a chunk of negative size", chunked(b"-1\r\n\r\n0\r\n\r\n"), (400,)),
    Raw("a chunk size with 0x", chunked(b"0x11\r\n" + BODY + b"\r\n0\r\n\r\n"), (400,)),
    Raw("a chunk size with an underscore", chunked(b"1_1\r\n" + BODY + b"\r\n0\r\n\r\n"), (400,)),
    Raw("a chunk size behind a space", chunked(b" 11\r\n" + BODY + b"\r\n0\r\n\r\n"), (400,)),
    Raw("an empty chunk size", chunked(b"\r\n" + BODY + b"\r\n0\r\n\r\n"), (400,)),
    Raw("a chunk extension with a bare line feed", chunked(b"11;a\n\r\n" + BODY + b"\r\n0\r\n\r\n"), (400,)),
    Raw("a chunk size line without end", chunked(b"1" * 20_000), (400,)),
    Raw("a chunk of 2^64 bytes", chunked(b"1" + b"0" * 16 + b"\r\n" + b"x" * 1000), (400,), cut=True),
    Raw("a trailer that frames", chunked(ONE_CHUNK + b"0\r\nContent-Length: 5\r\n\r\n"), (400,)),
    Raw("a trailer that signs in", chunked(ONE_CHUNK + b"0\r\nAuthorization: Bearer x\r\n\r\n"), (400,)),
    Raw("five thousand chunks", chunked(b"1\r\nx\r\n" * 5000 + b"0\r\n\r\n"), (400,)),
    Raw("a million chunks that nobody reads", chunked(b"1\r\nx\r\n" * 1_000_000).replace(b"TOKEN", b"x"), (401,)),
    Raw("chunks, as they should be", chunked(ONE_CHUNK + b"0\r\n\r\n"), (200,)),
    Raw("nine megabytes", post(body=b"x" * 9_000_000), (413,)),
    Raw("nine megabytes that nobody reads", post(body=b"x" * 9_000_000, path=b"/nope"), (404,)),
]

BOMB = gzip.compress(b"[" + b" " * 50_000_000 + b"]")
PARTS = b"--a\r\n\r\n\r\n" * 9000
ENCODINGS = [
    Raw("a bomb of gzip", post(b"Content-Encoding: gzip", body=BOMB), (415,)),
    Raw("a bomb that says nothing of itself", post(body=BOMB), (415,)),
    Raw("deflate", post(b"Content-Encoding: deflate", body=zlib.compress(BODY)), (415,)),
    Raw("an encoding that is not one", post(b"Content-Encoding: gzip, identity"), (415,)),
    Raw("identity", post(b"Content-Encoding: identity"), (200,)),
    Raw("identity in capitals", post(b"Content-Encoding: IDENTITY"), (200,)),
    Raw("no encoding in an encoding field", post(b"Content-Encoding: "), (200,)),
    Raw("a body in UTF-16", post(body=BODY.decode().encode("utf-16")), (415,)),
    Raw("a body in UTF-32", post(body=BODY.decode().encode("utf-32")), (415,)),
    Raw("a body in Latin-1", post(body='{"messages": "ä"}'.encode("latin-1")), (415,)),
    Raw("half a character", post(body=b'{"messages": "\xe2\x82"}'), (415,)),
    Raw("an overlong NUL", post(body=b'{"messages": "\xc0\x80"}'), (415,)),
    Raw("a surrogate in UTF-8", post(body=b'{"messages": "\xed\xa0\x80"}'), (415,)),
    Raw("null bytes", post(body=b"\x00" * 100), (415,)),
    Raw("a null byte in a text", post(body=b'{"messages": "\x00"}'), (415,)),
    Raw("a charset that is not one", post(b"Content-Type: application/json; charset=rot13"), (200,)),
    Raw("a form of many parts", post(b"Content-Type: multipart/form-data; boundary=a", body=PARTS), (415,)),
    Raw("a form of many fields", post(b"Content-Type: application/x-www-form-urlencoded", body=b"a=b&" * 9000), (415,)),
]  # fmt: skip

HEADS = [
    Raw("HTTP/0.9", b"GET /health\r\n", (400,)),
    Raw("HTTP/0.9 without end", b"GET /health\n", (400,)),
    Raw("HTTP/9.9", b"GET /health HTTP/9.9\r\n\r\n", (400,)),
    Raw("HTTP/2 without asking", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00", (400,)),
    Raw("TLS", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\xab" * 508 + b"\r\n", (400,)),
    Raw("nonsense", struct.pack("<40I", *range(40)) + b"\r\n\r\n", (400,)),
    Raw("a method in small letters", b"get /health HTTP/1.1\r\nHost: x\r\n\r\n", (400,)),
    Raw("a method of 9000 letters", b"G" * 9000 + b" / HTTP/1.1\r\n\r\n", (414,)),
    Raw("a method that is unknown", b"BREW /gpt-4o HTTP/1.1\r\nHost: x\r\n\r\n", (405,)),
    Raw("TRACE", b"TRACE /health HTTP/1.1\r\nHost: x\r\n\r\n", (405,)),
    Raw("CONNECT", b"CONNECT evil.example:443 HTTP/1.1\r\nHost: x\r\n\r\n", (404,)),
    Raw("two spaces", b"GET  /health HTTP/1.1\r\nHost: x\r\n\r\n", (400,)),
    Raw("a bare line feed", b"GET /health HTTP/1.1\nHost: x\n\n", (400,)),
    Raw("a bare carriage return", b"GET /health HTTP/1.1\r\nHost: x\r\nA: b\rC: d\r\n\r\n", (400,)),
    Raw("a NUL in a header", get(b"/health", b"A: b\x00c"), (400,)),
    Raw("a NUL in a header's name", get(b"/health", b"A\x00: b"), (400,)),
    Raw("a NUL in the target", get(b"/health\x00"), (400,)),
    Raw("a header without a colon", get(b"/health", b"nothing"), (400,)),
    Raw("a header without a name", get(b"/health", b": x"), (400,)),
    Raw("bytes beyond ASCII in the target", get("/health?ä".encode()), (400,)),
    Raw("no host", get(b"/health", host=b""), (400,)),
    Raw("two hosts", get(b"/health", b"Host: y"), (400,)),
    Raw("a host with a space", get(b"/health", host=b"Host: a b"), (400,)),
    Raw("a host with a path", get(b"/health", host=b"Host: a/b"), (400,)),
    Raw("a host with a user", get(b"/health", host=b"Host: a@b"), (400,)),
    Raw("a host that is half an address", get(b"/health", host=b"Host: [::1"), (400,)),
    Raw("a port that is none", get(b"/health", host=b"Host: x:99999999999"), (400,)),
    Raw("a header of 18 kB", get(b"/health", b"A: " + b"b" * 18_000), (431,)),
    Raw("a header of 2 MB", get(b"/health", b"A: " + b"b" * 2_000_000), (431,)),
    Raw("200 headers", get(b"/health", *[b"A%d: b" % number for number in range(200)]), (431,)),
    Raw("a target of 9 kB", get(b"/" + b"a" * 9000), (414,)),
    Raw("a prompt of 7 kB", get(b"/simple-gpt-4o-mini-complete?prompt=" + b"a" * 7000), (401,)),
    Raw("an expectation", get(b"/health", b"Expect: wonders"), (417,)),
    Raw("an upgrade", get(b"/health", b"Upgrade: h2c", b"HTTP2-Settings: AAMAAABk", b"Connection: Upgrade"), (200,)),
    Raw("a path from a header", get(b"/health", b"SCRIPT_NAME: /nope", b"PATH_INFO: /metrics"), (200,)),
    Raw("a scheme from two headers", get(b"/health", b"X-Forwarded-Proto: https", b"X-Forwarded-Ssl: off"), (400,)),
    Raw("another method from a header", get(b"/health", b"X-HTTP-Method-Override: DELETE"), (200,)),
    Raw("a proxy from a header", get(b"/health", b"Proxy: http://evil.example:80"), (200,)),
]

TARGETS = [
    Raw("absolute form", get(b"http://evil.example/health"), (200,)),
    Raw("absolute form without a path", get(b"http://evil.example"), (404,)),
    Raw("two slashes", get(b"//health"), (400,)),
    Raw("another host behind two slashes", get(b"//evil.example/health"), (400,)),
    Raw("a slash at the end", get(b"/health/"), (404,)),
    Raw("two slashes within", get(b"/gpt-4o//health"), (404,)),
    Raw("dots", get(b"/gpt-4o/../health"), (404,)),
    Raw("dots in disguise", get(b"/..%2f..%2f..%2fetc%2fpasswd"), (404,)),
    Raw("a backslash", get(b"\\health"), (400,)),
    Raw("an asterisk", get(b"*"), (400,)),
    Raw("capital letters", get(b"/HEALTH"), (404,)),
    Raw("a NUL in disguise", get(b"/health%00"), (404,)),
    Raw("half a character in disguise", get(b"/%e2%82"), (404,)),
    Raw("a surrogate in disguise", get(b"/%ed%a0%80"), (404,)),
    Raw("a percent sign alone", get(b"/%zz%"), (404,)),
    Raw("a line end in disguise", get(b"/health%0d%0aSet-Cookie:%20a=b"), (404,)),
    Raw("a fragment", get(b"/health#x"), (200,)),
    Raw("a query of half a character", get(b"/health?%e2%82=%00&&;=="), (200,)),
    Raw("a query of a thousand names", get(b"/health?" + b"&".join(b"a%d" % n for n in range(1000))), (200,)),
]

AUTHORIZATIONS = [
    Raw("a NUL in the token", get(b"/simple-gpt-4o-mini-complete", b"Authorization: Bearer a\x00b"), (400,)),
    Raw("bytes beyond ASCII in the token", get(b"/simple-gpt-4o-mini-complete", b"Authorization: Bearer \xff"), (401,)),
    Raw("two tokens, the second one good", post(b"Authorization: Bearer TOKEN").replace(b"TOKEN", b"x", 1), (401,)),
    Raw("two tokens, the first one good", post(b"Authorization: Bearer x"), (401,)),
    Raw("a token within the query", post(path=b"/gpt-4o?access_token=TOKEN").replace(b"Bearer TOKEN", b""), (401,)),
    Raw("a token within a cookie", post(b"Cookie: sb-access-token=TOKEN").replace(b"Bearer TOKEN", b""), (401,)),
    Raw("a token of 8 kB", post().replace(b"TOKEN", b"a." * 4000), (401,)),
    Raw("a token within an underscore", post(b"Authorization_: TOKEN").replace(b"Bearer TOKEN", b""), (401,)),
    Raw("a tab for the space", post().replace(b"Bearer ", b"Bearer\t"), (401,)),
]  # fmt: skip

ALL = [*SMUGGLING, *LIES, *ENCODINGS, *HEADS, *TARGETS, *AUTHORIZATIONS]
