"""What clients may do with a connection, by their bytes."""

import json
import re
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import repeat

import pytest
from live_server import LiveServer

from skhost.protocol import MAX_HEAD_BYTES
from skhost.server import address_of

PIECE = b"x" * 4000
ENOUGH = 1000  # of these pieces: far beyond all bounds
HOST = b"Host: 127.0.0.1\r\n"
POST = b"POST /classify?adapter=nothing HTTP/1.1\r\n%sContent-Type: application/json\r\n" % HOST
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"


@pytest.fixture
def connection(live: LiveServer) -> Iterator[socket.socket]:
    (server,) = live.server.servers
    with socket.create_connection(address_of(server.sockets[0]), 30) as made:
        yield made


def all_of(connection: socket.socket) -> bytes:
    received = b""
    with suppress(ConnectionResetError):  # closed over what was still on its way
        while some := connection.recv(1 << 16):
            received += some
    return received


def statuses(answers: bytes) -> list[int]:
    return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d+) ", answers)]


def pour(connection: socket.socket, begin: bytes, piece: bytes) -> tuple[int, bytes]:
    """Bytes that the server took of a message without an end, and its answer."""
    connection.sendall(begin)
    num_sent = len(begin)
    with suppress(BrokenPipeError, ConnectionResetError):
        for some in repeat(piece, ENOUGH):
            connection.sendall(some)
            num_sent += len(some)
    return num_sent, all_of(connection)


@pytest.mark.parametrize(
    ("begin", "piece"),
    [
        pytest.param(b"GET /", PIECE, id="path"),
        pytest.param(b"GET / HTTP/1.1\r\nX: ", PIECE, id="header"),
        pytest.param(b"GET / HTTP/1.1\r\n", b"X: " + PIECE + b"\r\n", id="headers"),
        pytest.param(CHUNKED + b"1;", PIECE, id="chunk's extension"),
        pytest.param(CHUNKED + b"1\r\n1\r\n0\r\nX: ", PIECE, id="trailer"),
        pytest.param(CHUNKED + b"1\r\n1\r\n0\r\n", b"X: " + PIECE + b"\r\n", id="trailers"),
    ],
)
def test_what_has_no_end_is_not_read_for_long(
    connection: socket.socket, begin: bytes, piece: bytes
) -> None:
    num_sent, answer = pour(connection, begin, piece)
    assert num_sent < ENOUGH * len(piece)  # what lay in the system's buffers is among it
    assert not answer or answer.startswith((b"HTTP/1.1 400 ", b"HTTP/1.1 404 "))


def test_a_head_that_is_too_large_is_told_so(connection: socket.socket) -> None:
    connection.sendall(b"GET /livez HTTP/1.1\r\nHost: 127.0.0.1\r\nX: ")
    for _ in range(MAX_HEAD_BYTES // len(PIECE) + 1):
        connection.sendall(PIECE)
    head, _, body = all_of(connection).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 ")
    assert b"connection: close" in head
    assert body == b"A request's head may have 65,536 bytes."


def test_a_large_head_and_a_body_in_many_pieces_are_read(connection: socket.socket) -> None:
    body = json.dumps({"texts": ["so " * 1000] * 8}).encode()
    connection.sendall(POST + b"Content-Length: %d\r\n" % len(body))
    connection.sendall(b"X: " + b"x" * 60_000 + b"\r\nConnection: close\r\n\r\n")
    for at in range(0, len(body), 1000):
        connection.sendall(body[at : at + 1000])
    assert b'"code":"adapter_not_found"' in all_of(connection)


def test_requests_behind_each_other_are_answered_in_their_order(connection: socket.socket) -> None:
    ask = b"GET /%s HTTP/1.1\r\nHost: 127.0.0.1\r\nX: " + b"x" * 30_000 + b"\r\n%s\r\n"
    closing = b"Connection: close\r\n"
    connection.sendall(ask % (b"livez", b"") + ask % (b"nothing", b"") + ask % (b"livez", closing))
    assert statuses(all_of(connection)) == [200, 404, 200]


def test_an_answer_comes_in_one_piece(connection: socket.socket) -> None:
    for _ in range(20):
        connection.sendall(b"GET /livez HTTP/1.1\r\n%s\r\n" % HOST)
        assert connection.recv(1 << 16).endswith(b'{"status":"alive"}')


def test_who_sends_rubbish_after_a_request_is_told_so(connection: socket.socket) -> None:
    connection.sendall(b"GET /livez HTTP/1.1\r\n%s\r\n" % HOST)
    assert statuses(connection.recv(1 << 16)) == [200]
    connection.sendall(b"rubbish\r\n\r\n")
    assert statuses(all_of(connection)) == [400]


def test_many_offers_at_once_are_read_one_after_the_other(connection: socket.socket) -> None:
    ask = b"GET /livez HTTP/1.1\r\n%s%s\r\n"
    offer = b"Connection: Upgrade\r\nUpgrade: websocket\r\n"
    count = 1500  # far more than calls may be nested
    with ThreadPoolExecutor(1) as pool:  # the answers must be taken meanwhile
        answers = pool.submit(all_of, connection)
        connection.sendall(ask % (HOST, offer) * count + ask % (HOST, b"Connection: close\r\n"))
        assert statuses(answers.result(60)) == [200] * (count + 1)


@pytest.mark.parametrize("is_chunked", [False, True])
def test_an_offer_of_another_protocol_is_passed_over(
    connection: socket.socket, is_chunked: bool
) -> None:
    """As Java's own client makes it with every request."""
    offer = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n"
    body = b'{"text":"a"}'
    if is_chunked:
        rest = b"Transfer-Encoding: chunked\r\n\r\nc\r\n%s\r\n0\r\n\r\n" % body
    else:
        rest = b"Content-Length: %d\r\n\r\n%s" % (len(body), body)
    last = b"GET /livez HTTP/1.1\r\n%sConnection: close, Upgrade\r\n\r\n" % HOST
    connection.sendall(POST + offer + rest[:30])
    connection.sendall(rest[30:] + POST + offer + rest + last)
    answers = all_of(connection)
    assert statuses(answers) == [404, 404, 200]
    assert answers.count(b'"code":"adapter_not_found"') == 2


@pytest.mark.parametrize(
    "bad",
    [
        pytest.param(b"CONNECT here:80 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", id="no path"),
        pytest.param(b"OPTIONS * HTTP/1.1\r\n%sConnection: close\r\n\r\n" % HOST, id="no resource"),
        pytest.param(b"GET /\xff HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", id="no ASCII"),
        pytest.param(
            CHUNKED.replace(b"\r\n\r\n", b"\r\nContent-Length: 3\r\n\r\n"), id="two lengths"
        ),
        pytest.param(POST + b"Content-Length: -1\r\n\r\n", id="less than nothing"),
        pytest.param(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", id="TLS"),
    ],
)
def test_what_is_no_request_is_refused(connection: socket.socket, bad: bytes) -> None:
    connection.sendall(bad)
    assert all_of(connection).split()[1] in {b"400", b"404", b"405"}
