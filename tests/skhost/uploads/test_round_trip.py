"""What a writer wrote is what is read, for any texts: nothing is trimmed, shifted or decoded."""

import csv
import io
import json

import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import given, settings
from hypothesis import strategies as st
from upload_files import examples_of, read

from skhost.uploads.texts import is_blank

# Everything that a text may hold: no NUL, no surrogates, and something to see.
TEXT = st.text(
    st.one_of(
        st.sampled_from(list("ab,;|\t\"' \r\n[]{}\\=é漢😀\u2028\x85\x1c")),
        st.characters(codec="utf-8", exclude_characters="\0"),
    ),
    min_size=1,
    max_size=30,
).filter(lambda text: not is_blank(text))
TEXTS = st.lists(TEXT, min_size=8, max_size=20)
RULES = settings(max_examples=60, deadline=None)


def check(texts: list[str], content: bytes | str) -> None:
    result = read(content)
    expected = sorted((text, "ab"[i % 2]) for i, text in enumerate(texts))
    assert sorted((row.input.text, str(row.target)) for row in examples_of(result)) == expected


def rows_of(texts: list[str]) -> list[dict[str, str]]:
    return [{"text": text, "label": "ab"[i % 2]} for i, text in enumerate(texts)]


def unlike(texts: list[str]) -> list[str]:
    """The texts made different from each other, so that some can be held out."""
    return [f"{text}{i}." for i, text in enumerate(texts)]


@RULES
@given(TEXTS, st.sampled_from(",\t;|"), st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]))
def test_delimited(texts: list[str], delimiter: str, quoting: int) -> None:
    texts = unlike(texts)
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer, delimiter=delimiter, quoting=quoting)  # type: ignore[arg-type]
    writer.writerow(("text", "label"))
    writer.writerows((row["text"], row["label"]) for row in rows_of(texts))
    check(texts, buffer.getvalue())


@RULES
@given(TEXTS, st.booleans())
def test_json_lines(texts: list[str], is_ascii: bool) -> None:
    texts = unlike(texts)
    lines = (json.dumps(row, ensure_ascii=is_ascii) for row in rows_of(texts))
    check(texts, "\n".join(lines))


@RULES
@given(TEXTS, st.booleans(), st.sampled_from([None, 0, 2]))
def test_json_array(texts: list[str], is_ascii: bool, indent: int | None) -> None:
    texts = unlike(texts)
    check(texts, json.dumps(rows_of(texts), ensure_ascii=is_ascii, indent=indent))


@RULES
@given(TEXTS)
def test_parquet(texts: list[str]) -> None:
    texts = unlike(texts)
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows_of(texts)), buffer)
    check(texts, buffer.getvalue())


@RULES
@given(st.lists(st.lists(TEXT, min_size=1, max_size=4), min_size=8, max_size=12))
def test_words(rows: list[list[str]]) -> None:
    written = [
        {"tokens": [*words, f"{i}"], "tags": ["O"] * len(words) + ["B-x"]}
        for i, words in enumerate(rows)
    ]
    result = read("\n".join(json.dumps(row) for row in written))
    found = sorted(row.input.tokens or () for row in examples_of(result))
    assert found == sorted(tuple(row["tokens"]) for row in written)
