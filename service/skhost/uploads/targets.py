"""From targets as found to targets to learn: one converter a task."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from skhost.uploads.cells import is_json_list, parse_list, tags_of
from skhost.uploads.excerpt import excerpt, kind_of
from skhost.uploads.labels import (
    checked_label,
    kind_key,
    mixed_kind,
    usual_kind,
    warn_of_labels,
)
from skhost.uploads.problems import BadCell, Findings
from skhost.uploads.records import MISSING
from skhost.uploads.table import Row
from skhost.uploads.task import find_separator, number_in
from sktuning.config import Task
from sktuning.data import Example, Target

Convert = Callable[[Row], Target]


@dataclass(frozen=True, slots=True)
class LabelledRow:
    """A row that can be learned from."""

    row: Row
    example: Example

    @property
    def where(self) -> int:
        """Its line or record."""
        return self.row.where

    @property
    def names(self) -> tuple[str, ...]:
        """The labels or tags that it carries; none for a number."""
        target = self.example.target
        if isinstance(target, str):
            return (target,)
        return target if isinstance(target, tuple) else ()


def label_rows(
    rows: Sequence[Row], task: Task, column: str, findings: Findings, *, is_text: bool
) -> list[LabelledRow]:
    """All rows whose target fits the task; the others are noted."""
    convert = _converter(rows, task, column, findings, is_text=is_text)
    labelled = []
    for row in rows:
        try:
            labelled.append(LabelledRow(row, Example(row.input, convert(row))))
        except BadCell as bad:
            findings.bad_row(bad.code, bad.message, row.where, column)
    return labelled


def count_labels(labelled: Sequence[LabelledRow]) -> Counter[str]:
    """Rows a label (words a tag)."""
    return Counter(name for item in labelled for name in item.names)


def warn_of_targets(labelled: Sequence[LabelledRow], task: Task, findings: Findings) -> None:
    """Warns of labels that will be hard to learn, and of tags that are not BIO."""
    counts = count_labels(labelled)
    if task in (Task.SINGLE_LABEL, Task.MULTI_LABEL):
        warn_of_labels(counts, findings)
    odd = sorted(name for name in counts if name != "O" and name[:2] not in ("B-", "I-"))
    if task is Task.TOKENS and odd:
        message = f"tags that are not O, B-… or I-… (such as {excerpt(odd[0])}) are not entities"
        findings.warn("tags_not_bio", message, count=len(odd))
    empty = sum(not item.example.target for item in labelled if task is Task.MULTI_LABEL)
    if empty:
        findings.warn("no_labels", f"{empty:,} rows carry no label at all", count=empty)


def _converter(
    rows: Sequence[Row], task: Task, column: str, findings: Findings, *, is_text: bool
) -> Convert:
    limit = findings.limits.max_label_chars
    if task is Task.TOKENS:
        return lambda row: tags_of(row.target, len(row.input.tokens or ()), limit, is_text=is_text)
    if task is Task.REGRESSION:
        return lambda row: _number(row.target, is_text=is_text)
    if task is Task.SINGLE_LABEL:
        _say_how_labels_are_taken([row.target for row in rows], column, findings)
        usual = usual_kind(row.target for row in rows)
        return lambda row: _label(row.target, usual, limit)
    return _list_converter(rows, column, findings, is_text=is_text)


def _list_converter(
    rows: Sequence[Row], column: str, findings: Findings, *, is_text: bool
) -> Convert:
    separator = find_separator([row.target for row in rows]) if is_text else None
    if separator is not None:
        how = "JSON arrays" if separator == "[" else f"labels separated by {separator!r}"
        message = f"cells of the column are taken as {how}"
        findings.warn("label_lists", message, column=column)
    names = [name for row in rows if isinstance(row.target, list) for name in row.target]
    usual = usual_kind(names)
    limit = findings.limits.max_label_chars
    return lambda row: _labels(_list(row.target, separator), usual, limit)


def _say_how_labels_are_taken(targets: Sequence[object], column: str, findings: Findings) -> None:
    padded = sum(isinstance(value, str) and value != value.strip() != "" for value in targets)
    if padded:
        message = f"white space around {padded:,} labels was removed"
        findings.warn("label_white_space", message, column=column, count=padded)
    if (usual := usual_kind(targets)) != "str":
        example = next(value for value in targets if kind_key(value) == usual)
        message = f"labels are no texts; they are named as JSON spells them: {example!r:.40}"
        findings.warn("label_numbers", message, column=column)


def _label(value: object, usual: str, max_chars: int) -> str:
    label = checked_label(value, max_chars)
    if kind_key(value) != usual:
        raise mixed_kind(value, usual)
    return label


def _list(value: object, separator: str | None) -> list[object]:
    if value is MISSING or value is None:
        raise BadCell("label_missing", "there are no labels")
    if isinstance(value, list):
        return value
    if not isinstance(value, str):
        raise BadCell("label_type", f"the labels are {kind_of(value)}, not a list of names")
    if is_json_list(value):
        return parse_list(value)
    parts = value.split(separator) if separator not in (None, "[") else [value]
    return [part for part in parts if part.strip()]


def _labels(values: list[object], usual: str, max_chars: int) -> tuple[str, ...]:
    names = [_label(value, usual, max_chars) for value in values]
    return tuple(dict.fromkeys(names))


def _number(value: object, *, is_text: bool) -> float:
    if value is MISSING or value is None or value == "":
        raise BadCell("score_missing", "there is no number")
    number = number_in(value, is_text=is_text)
    if number is None:
        seen = excerpt(value, 30) if isinstance(value, str) else kind_of(value)
        advice = "; write decimals with a point" if isinstance(value, str) and "," in value else ""
        raise BadCell("score_type", f"{seen} is not a finite number{advice}")
    return number
