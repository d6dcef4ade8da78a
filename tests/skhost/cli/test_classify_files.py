"""`skhost classify FILE`: every kind of file, what cannot be read, and what is written."""

import csv
import gzip
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from commands import Skhost

from skhost.cli.inputs import batches_of, count_rows
from skhost.uploads.request import ColumnChoice

pytestmark = pytest.mark.usefixtures("url")

TEXTS = ["good text", 'a "bad", text', "the\nis", "awful"]


def as_csv(rows: list[dict[str, Any]], delimiter: str = ",") -> bytes:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), delimiter=delimiter)
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def as_lines(rows: list[dict[str, Any]]) -> bytes:
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


def as_parquet(rows: list[dict[str, Any]]) -> bytes:
    file = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), file)
    return file.getvalue()


FORMATS: dict[str, Callable[[list[dict[str, Any]]], bytes]] = {
    "rows.csv": as_csv,
    "rows.tsv": lambda rows: as_csv(rows, "\t"),
    "rows.jsonl": as_lines,
    "rows.ndjson": as_lines,
    "rows.json": lambda rows: json.dumps(rows).encode(),
    "rows.parquet": as_parquet,
    "parquet-without-a-name": as_parquet,
    "lines-of-json": as_lines,
    "rows.csv.gz": lambda rows: gzip.compress(as_csv(rows)),
}


@pytest.mark.parametrize("name", FORMATS)
def test_a_file_of_any_format_gets_the_answers_of_its_texts(
    skhost: Skhost, tmp_path: Path, name: str
) -> None:
    rows = [{"id": f"r{n}", "text": text, "label": "x"} for n, text in enumerate(TEXTS)]
    (file := tmp_path / name).write_bytes(FORMATS[name](rows))
    answers = skhost("classify", str(file), "-a", "mood", "--json")
    assert answers.code == 0, answers.err
    assert [(a["id"], a["text"]) for a in answers.lines] == [(r["id"], r["text"]) for r in rows]
    typed = skhost("classify", *TEXTS, "-a", "mood", "--json").lines
    for answer, expected in zip(answers.lines, typed, strict=True):
        assert (answer["label"], answer["adapter"], answer["version"]) == (
            *(expected["label"], "mood", 2),
        )
        assert answer["scores"] == pytest.approx(expected["scores"], abs=2e-5)


def test_answers_are_written_to_a_file(skhost: Skhost, tmp_path: Path) -> None:
    rows = [{"text": f"good text {n}"} for n in range(1000)]
    (file := tmp_path / "rows.jsonl").write_bytes(as_lines(rows))
    target = tmp_path / "answers.jsonl"
    answer = skhost("classify", str(file), "-a", "mood", "--output", str(target))
    assert (answer.code, answer.out) == (0, "")
    written = [json.loads(line) for line in target.read_text().splitlines()]
    assert [row["text"] for row in written] == [row["text"] for row in rows]
    assert {"label", "score", "scores", "adapter", "version"} <= set(written[0])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["answers.jsonl", "rows.jsonl"]


def test_nothing_is_written_when_nothing_can_be_answered(skhost: Skhost, tmp_path: Path) -> None:
    target = tmp_path / "answers.jsonl"
    answer = skhost("classify", "good", "-a", "nobody", "--output", str(target))
    assert answer.code == 1
    assert answer.err.startswith("error: no adapter is called 'nobody'")
    assert list(tmp_path.iterdir()) == []


def test_bad_rows_are_errors_in_their_places(skhost: Skhost, tmp_path: Path) -> None:
    lines = ['{"text": "good"}', "{oops", '{"text": 5}', '{"other": 1}', '{"text": "bad"}']
    (file := tmp_path / "rows.jsonl").write_text("\n".join(lines) + "\n{")
    answer = skhost("classify", str(file), "-a", "mood", "--json")
    assert answer.code == 1
    assert answer.err == "error: 4 texts could not be classified; the lines above say why\n"
    codes = [line.get("error", {}).get("code") for line in answer.lines]
    assert codes == [None, "invalid_json", "text_type", "text_missing", None, "invalid_json"]
    shown = skhost("classify", str(file), "-a", "mood")
    assert "error: line 2: not valid JSON" in shown.out


def test_columns_are_found_or_named(skhost: Skhost, tmp_path: Path) -> None:
    rows = [{"Frage": "good text", "n": 1}]
    (file := tmp_path / "rows.csv").write_bytes(as_csv(rows))
    refused = skhost("classify", str(file), "-a", "mood")
    assert refused.code == 1
    assert "no text column" in refused.err
    named = skhost("classify", str(file), "-a", "mood", "--text-column", "Frage", "--json")
    assert named.lines[0]["text"] == "good text"
    (plain := tmp_path / "rows.txt").write_bytes(as_csv(rows))
    assert len(skhost("classify", str(plain), "-a", "mood", "--json").lines) == 2
    named = skhost("classify", str(plain), "-a", "mood", "--text-column", "Frage", "--json")
    assert [line["text"] for line in named.lines] == ["good text"]


@pytest.mark.parametrize(
    ("columns", "row"),
    [
        ({"sentence1": "good", "sentence2": "bad"}, {"pair": ["good", "bad"]}),
        ({"words": ["good", "text"]}, {"tokens": ["good", "text"]}),
        ({"text": "good", "tokens": ["good"]}, {"text": "good"}),
        ({"id": 7, "review": "good"}, {"id": 7, "text": "good"}),
    ],
)
def test_pairs_and_words_are_known_by_their_columns(
    tmp_path: Path, columns: dict[str, Any], row: dict[str, Any]
) -> None:
    (file := tmp_path / "rows.jsonl").write_bytes(as_lines([columns]))
    ((given,),) = batches_of(file, ColumnChoice())
    assert (given.row, given.error) == (row, None)


def test_stdin_has_lines_of_text_or_of_json(
    skhost: Skhost, monkeypatch: pytest.MonkeyPatch
) -> None:
    for content, dash in (
        (b"good text\n\nbad\r\n", ["-"]),
        (as_lines([{"text": "good text"}]), []),
    ):
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(content)))
        answer = skhost("classify", *dash, "-a", "mood", "--json")
        assert answer.lines[0]["text"] == "good text"
        assert len(answer.lines) == (2 if dash else 1)


def test_what_is_no_text_is_one_clear_line(skhost: Skhost, tmp_path: Path) -> None:
    (file := tmp_path / "texts").write_bytes(b"good\n\xff\xfe\n")
    answer = skhost("classify", str(file), "-a", "mood", "--json")
    assert answer.code == 1
    assert answer.err == "error: texts: line 2 is not UTF-8 text: invalid start byte\n"


@pytest.mark.parametrize("name", [*FORMATS, "rows.txt"])
def test_rows_are_counted_without_being_read(tmp_path: Path, name: str) -> None:
    rows = [{"text": "good"}] * 30
    (file := tmp_path / name).write_bytes(FORMATS.get(name, as_lines)(rows))
    assert count_rows(file) == (None if name in {"rows.json", "rows.csv.gz"} else 30)
