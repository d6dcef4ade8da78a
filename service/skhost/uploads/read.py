"""From an uploaded file to a dataset and a report: every step in order."""

from dataclasses import dataclass
from pathlib import Path

from skhost.uploads.columns import Columns, find_columns, known_names
from skhost.uploads.excerpt import excerpt, plain
from skhost.uploads.problems import Findings
from skhost.uploads.repeats import settle_repeats
from skhost.uploads.report import ReadReport, ReadResult, sorted_labels
from skhost.uploads.request import ReadRequest
from skhost.uploads.source import open_source
from skhost.uploads.splits import Parts, draw_held_out, split_by_column, warn_of_overlap
from skhost.uploads.table import read_rows
from skhost.uploads.targets import LabelledRow, count_labels, label_rows, warn_of_targets
from skhost.uploads.task import Decision, decide_task
from sktuning.config import Task
from sktuning.data import Dataset

MIN_GROUPS = 2  # different texts: one to learn from, one to judge by


@dataclass(frozen=True, slots=True)
class _File:
    """One file, read and labelled; its bad rows are noted and not among the rows."""

    findings: Findings
    columns: Columns
    decision: Decision
    rows: tuple[LabelledRow, ...]


def read_dataset(
    path: Path,
    request: ReadRequest,
    *,
    held_out: Path | None = None,
    filename: str | None = None,
    held_out_filename: str | None = None,
) -> ReadResult:
    """Reads an upload as training data. Slow for large files: call it in a thread.

    Args:
        held_out: a second file with the rows to judge by; without it they come from the first
            file's split column, or are drawn.
        filename: what the user calls the file, for messages only.

    Raises:
        UploadRefused: the file cannot be trained on; `details` say why, row by row.
    """
    main = _read_file(path, filename or path.name, request, request.task)
    parts = _own_parts(main)
    origin = _origin(main, parts, request)
    if held_out is not None:
        name = held_out_filename or held_out.name
        judges = _read_file(held_out, name, request, main.decision.task)
        _check_same_kind(main, judges, parts)
        if not judges.rows:
            judges.findings.error("no_usable_rows", "no row is left to judge by")
        _settle(judges.findings, request)
        parts = Parts(parts.train, judges.rows, parts.test)
        origin = f"a second file, {judges.findings.file}"
        main.findings.warnings.extend(judges.findings.warnings)
    _check_targets(parts.train, main)
    warn_of_targets(parts.train, main.decision.task, main.findings)
    _settle(main.findings, request)
    if not parts.held_out:
        parts = _drawn_parts(parts, main, request)
    return _result(main, parts, origin)


def _read_file(path: Path, filename: str, request: ReadRequest, task: Task | None) -> _File:
    findings = Findings(plain(filename), request.limits)
    with open_source(path, known_names(request.columns), findings) as source:
        columns = find_columns(request.columns, task, findings)
        rows = read_rows(source, columns, findings)
        is_text = source.is_text
    decision = decide_task(task, columns, [row.target for row in rows], is_text=is_text)
    labelled = label_rows(rows, decision.task, columns.target, findings, is_text=is_text)
    return _File(findings, columns, decision, tuple(settle_repeats(labelled, columns.id, findings)))


def _own_parts(file: _File) -> Parts:
    if file.columns.split is None:
        return Parts(file.rows)
    return split_by_column(file.rows, file.columns.split, file.findings)


def _origin(file: _File, parts: Parts, request: ReadRequest) -> str:
    if parts.held_out:
        return f"the column {excerpt(file.columns.split or '')}"
    return f"drawn, stratified, seed {request.seed}"


def _drawn_parts(parts: Parts, file: _File, request: ReadRequest) -> Parts:
    drawn = draw_held_out(
        parts.train, file.decision.task, fraction=request.held_out_fraction, seed=request.seed
    )
    if not drawn.held_out:
        message = (
            f"{len(parts.train):,} usable rows are too few to hold some out: every label needs "
            "at least two different texts"
        )
        raise file.findings.refusal("too_few_rows", message)
    return Parts(drawn.train, drawn.held_out, parts.test)


def _check_same_kind(main: _File, judges: _File, parts: Parts) -> None:
    if parts.held_out:
        message = "held-out rows come with the split column and in a second file; send one of them"
        raise main.findings.refusal("held_out_twice", message, column=main.columns.split)
    if (main.columns.text_pair is None) != (judges.columns.text_pair is None):
        message = "the held-out file must have pairs of texts if, and only if, the first file has"
        raise judges.findings.refusal("held_out_differs", message)


def _check_targets(train: tuple[LabelledRow, ...], file: _File) -> None:
    """What makes a file as a whole untrainable, noted beside its bad rows."""
    findings, task = file.findings, file.decision.task
    column = file.columns.target
    if not train:
        findings.error("no_usable_rows", "no row is left to learn from")
    elif task is Task.REGRESSION:
        if len({item.example.target for item in train}) < 2:
            findings.error("one_value", "all rows have the same number", column=column)
    else:
        _check_labels(list(count_labels(train)), findings, column)


def _check_labels(names: list[str], findings: Findings, column: str) -> None:
    limit = findings.limits.max_labels
    if len(names) < 2:
        found = f"one found: {excerpt(names[0])}" if names else "none found"
        message = f"at least two labels are needed to train, {found}"
        findings.error("one_label", message, column=column)
    elif len(names) > limit:
        message = f"{len(names):,} different labels; at most {limit:,} are possible"
        findings.error("too_many_labels", message, column=column)


def _settle(findings: Findings, request: ReadRequest) -> None:
    """Refuses, or goes on without the bad rows."""
    if findings.is_unusable or (findings.bad and request.on_bad_rows == "refuse"):
        raise findings.rows_refusal()
    findings.forgive()


def _result(file: _File, parts: Parts, origin: str) -> ReadResult:
    task = file.decision.task
    warn_of_overlap(parts, file.findings)
    everything = (*parts.train, *parts.held_out, *parts.test)
    counts = count_labels(everything)
    labels = sorted_labels(list(counts))
    train, held_out, test = (
        tuple(item.example for item in part) for part in (parts.train, parts.held_out, parts.test)
    )
    dataset = Dataset(task, labels, train, held_out, test)
    sizes = {"train": len(train), "held_out": len(held_out), "test": len(test)}
    return ReadResult(
        dataset, _report(file, sizes, [(n, counts[n]) for n in labels], dataset, origin)
    )


def _report(
    file: _File,
    splits: dict[str, int],
    labels: list[tuple[str, int]],
    dataset: Dataset,
    origin: str,
) -> ReadReport:
    findings, columns = file.findings, file.columns
    return ReadReport(
        file=findings.file,
        format=str(findings.format),
        compression=findings.compression,
        encoding=findings.encoding,
        delimiter=findings.delimiter,
        quoting=findings.quoting,
        columns={role: plain(name) for role, name in columns.roles().items()},
        unused_columns=tuple(plain(name) for name in columns.unused),
        task=file.decision.task,
        task_reason=file.decision.reason,
        num_rows=findings.num_rows,
        num_used=sum(splits.values()),
        num_skipped=len(findings.bad),
        labels=tuple(labels),
        target_range=_range(dataset),
        splits=splits,
        held_out_from=origin,
        problems=tuple(findings.problems),
    )


def _range(dataset: Dataset) -> tuple[float, float] | None:
    if dataset.task is not Task.REGRESSION:
        return None
    rows = (*dataset.train, *dataset.held_out, *dataset.test)
    values = [row.target for row in rows if isinstance(row.target, float)]
    return min(values), max(values)
