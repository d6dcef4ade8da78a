from hypothesis import given
from hypothesis import strategies as st

from skhost.api.lines import Line, LineSplitter

texts = st.lists(st.sampled_from([b"", b" ", b"a", b"bc", b"\xc3\xa9", b"x" * 9]), max_size=8)


def split(body: bytes, cuts: list[int], max_bytes: int = 100) -> list[Line]:
    splitter = LineSplitter(max_bytes)
    ends = [*sorted(cut % (len(body) + 1) for cut in cuts), len(body)]
    pieces = [body[start:end] for start, end in zip([0, *ends], ends, strict=False)]
    lines = [line for piece in pieces for line in splitter.feed(piece)]
    return [*lines, *splitter.close()]


@given(texts, st.lists(st.integers(0, 10_000), max_size=8))
def test_lines_do_not_depend_on_where_pieces_end(lines: list[bytes], cuts: list[int]) -> None:
    expected = [Line(n, line) for n, line in enumerate(lines, 1) if line.strip()]
    assert split(b"\n".join(lines), cuts) == expected
    assert split(b"\n".join([*lines, b""]), cuts) == expected


@given(st.lists(st.integers(0, 10_000), max_size=8))
def test_a_line_that_is_too_long_is_only_a_number(cuts: list[int]) -> None:
    body = b"aa\n" + b"b" * 500 + b"\ncc\n" + b"d" * 11
    assert split(body, cuts, 10) == [Line(1, b"aa"), Line(2, None), Line(3, b"cc"), Line(4, None)]


def test_of_a_long_line_nothing_is_kept() -> None:
    splitter = LineSplitter(10)
    for _ in range(1000):
        assert list(splitter.feed(b"x" * 8)) == []
    assert splitter._begun == []
    assert list(splitter.feed(b"\nok\n")) == [Line(1, None), Line(2, b"ok")]


def test_a_byte_order_mark_is_no_part_of_the_first_line() -> None:
    assert split(b"\xef\xbb\xbf{}\n{}", []) == [Line(1, b"{}"), Line(2, b"{}")]
