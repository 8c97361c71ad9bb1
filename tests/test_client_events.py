"""Server-sent events: every rule of the format that a stream may use."""

from __future__ import annotations

import pytest

from featurepack.events import Event, events_of

STREAMS = {
    "lf": (b"event: job\ndata: 1\n\n", [Event("job", "1")]),
    "crlf": (b"event: job\r\ndata: 1\r\n\r\n", [Event("job", "1")]),
    "cr": (b"event: job\rdata: 1\r\r", [Event("job", "1")]),
    "mixed ends": (
        b"data: 1\r\ndata: 2\r\rdata: 3\n\r\n",
        [Event("message", "1\n2"), Event("message", "3")],
    ),
    "several lines": (b'data: {"a":\ndata: 1}\n\n', [Event("message", '{"a":\n1}')]),
    "comments": (b": ping\n\n:\nevent: job\n:x\ndata: 1\n\n", [Event("job", "1")]),
    "no space, two spaces": (b"data:1\ndata:  2\n\n", [Event("message", "1\n 2")]),
    "colons in the value": (b"data: a:b: c\n\n", [Event("message", "a:b: c")]),
    "a name without a colon": (b"data\n\n", [Event("message", "")]),
    "other fields": (b"id: 7\nretry: 10\nDATA: 0\n data: 0\ndata: 1\n\n", [Event("message", "1")]),
    "a name of its event only": (b"event: job\n\ndata: 1\n\n", [Event("message", "1")]),
    "the last name counts": (b"event: a\nevent: b\ndata: 1\n\n", [Event("b", "1")]),
    "many blank lines": (b"\n\n\ndata: 1\n\n\n\n", [Event("message", "1")]),
    "without its end": (b"data: 1\n\ndata: 2\n", [Event("message", "1")]),
    "nothing": (b"", []),
    "byte order mark": (
        b"\xef\xbb\xbfdata: 1\n\ndata: \xef\xbb\xbf2\n\n",
        [Event("message", "1"), Event("message", "\ufeff2")],
    ),
    "breaks that are none": (
        "data: a\u2028b\x0bc\x0cd\x85e\x1cf\n\n".encode(),
        [Event("message", "a\u2028b\x0bc\x0cd\x85e\x1cf")],
    ),
    "no UTF-8": (b"data: \xff\n\n", [Event("message", "\ufffd")]),
}


@pytest.mark.parametrize(("stream", "events"), STREAMS.values(), ids=STREAMS)
def test_a_stream_is_these_events_however_it_is_torn(stream: bytes, events: list[Event]) -> None:
    assert list(events_of([stream])) == events
    assert list(events_of(bytes([byte]) for byte in stream)) == events
    for cut in range(len(stream) + 1):
        assert list(events_of([stream[:cut], b"", stream[cut:]])) == events


def test_an_event_is_there_as_soon_as_its_blank_line() -> None:
    """Also with CR, after which an LF may or may not follow."""

    def pieces():
        yield b"data: 1\r\r"
        pytest.fail("the next piece was waited for")

    assert next(events_of(pieces())) == Event("message", "1")
