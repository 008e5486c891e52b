"""HTTP responses as OpenAI or a gateway might send them, for unit tests and the fuzzer."""

import gzip

BODY = b'{"ok": true}'
GZIPPED = gzip.compress(BODY, mtime=0)
MEMBERS = gzip.compress(BODY[:5], mtime=0) + gzip.compress(BODY[5:], mtime=0)
LENGTH = b"Content-Length: %d\r\n" % len(BODY)

# odd, but clear: each is read
CLEAR: dict[str, bytes] = {
    "plain": b"HTTP/1.1 200 OK\r\n" + LENGTH + b"\r\n" + BODY,
    "blank line first": b"\r\nHTTP/1.1 200 OK\r\n" + LENGTH + b"\r\n" + BODY,
    "no reason": b"HTTP/1.1 200\r\n" + LENGTH + b"\r\n" + BODY,
    "repeated field": b"HTTP/1.1 200 OK\r\nX: 1\r\nX: 2\r\n" + LENGTH + b"\r\n" + BODY,
    "chunked": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n5;a=b\r\n%s\r\n7\r\n%s\r\n0\r\nx: y\r\n\r\n"
    % (BODY[:5], BODY[5:]),
    "to the end of the connection": b"HTTP/1.0 200 OK\r\n\r\n" + BODY,
    "interim responses": b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n"
    b"HTTP/1.1 200 OK\r\n" + LENGTH + b"\r\n" + BODY,
    "gzip": b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(GZIPPED) + GZIPPED,
    "gzip in chunks": b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"5\r\n%s\r\n%x\r\n%s\r\n0\r\n\r\n" % (GZIPPED[:5], len(GZIPPED) - 5, GZIPPED[5:]),
    "gzip of several members": b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(MEMBERS)
    + MEMBERS,
    "gzip, and filled up with zeros": b"HTTP/1.0 200 OK\r\nContent-Encoding: gzip\r\n\r\n" + GZIPPED + b"\0" * 8,
}

# the body is clear; the bytes after it are unsolicited
UNSOLICITED = (CLEAR["plain"] + b"HTTP/1.1 200 OK\r\n\r\n", CLEAR["plain"] + b"x", CLEAR["chunked"] + b"\r\n\0")

# not clear: refused, and the request is not sent again
MALFORMED: dict[str, bytes] = {
    "length twice": b"HTTP/1.1 200 OK\r\n" + LENGTH + LENGTH + b"\r\n" + BODY,
    "blank before colon": b"HTTP/1.1 200 OK\r\nX : 1\r\n" + LENGTH + b"\r\n" + BODY,
    "folded line": b"HTTP/1.1 200 OK\r\nX: 1\r\n  more\r\n" + LENGTH + b"\r\n" + BODY,
    "coding and length": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\n" + LENGTH + b"\r\n" + BODY,
    "unknown coding": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n" + BODY,
    "two codings": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "unknown content encoding": b"HTTP/1.1 200 OK\r\nContent-Encoding: br\r\n" + LENGTH + b"\r\n" + BODY,
    "not gzip": b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n" + LENGTH + b"\r\n" + BODY,
    "gzip that is cut": b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 20\r\n\r\n" + GZIPPED[:20],
    "gzip that is cut by the end of the connection": b"HTTP/1.0 200 OK\r\nContent-Encoding: gzip\r\n\r\n"
    + GZIPPED[:20],
    "gzip and other bytes": b"HTTP/1.0 200 OK\r\nContent-Encoding: gzip\r\n\r\n" + GZIPPED + BODY,
    "length of letters": b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n" + BODY,
    "chunk size of letters": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n",
    "chunk longer than its size": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nabc\r\n0\r\n\r\n",
    "another protocol": b"SSH-2.0-OpenSSH\r\n\r\n",
    "a switch to another protocol": b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n",
    "a cut head": b"HTTP/1.1 200 OK\r\nContent-Le",
    "a cut body": b"HTTP/1.1 200 OK\r\n" + LENGTH + b"\r\n" + BODY[:-1],
    "a cut chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
    "no last chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n",
    "a long head": b"HTTP/1.1 200 OK\r\nX: " + b"x" * 70_000 + b"\r\n\r\n",
}

RESPONSES = [one for one in (*CLEAR.values(), *MALFORMED.values()) if len(one) < 1000]
