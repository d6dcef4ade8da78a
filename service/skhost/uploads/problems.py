"""What is wrong with an upload, row by row, and the refusal made from it."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from skhost.errors import UploadRefused
from skhost.uploads.excerpt import plain
from skhost.uploads.limits import ReadLimits

Unit = Literal["line", "record"]
MESSAGE_PROBLEMS = 5  # in the one-line message; the rest is in the details


class BadCell(Exception):
    """One value that cannot be used; becomes a problem of its row."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.column: str | None = None  # set by who knows it


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong. `line` is a physical line and `record` an element, both counted from 1."""

    severity: Literal["error", "warning"]
    code: str
    message: str
    file: str
    line: int | None = None
    record: int | None = None
    column: str | None = None
    count: int = 1

    @property
    def place(self) -> str:
        """Where it is, in words; empty for the file as a whole."""
        if self.line is not None:
            return f"line {self.line}"
        return "" if self.record is None else f"record {self.record}"

    def __str__(self) -> str:
        return f"{self.place}: {self.message}" if self.place else self.message

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values, without what is absent."""
        values = {
            "severity": self.severity,
            "code": self.code,
            "message": self.message,
            "file": self.file,
            "line": self.line,
            "record": self.record,
            "column": self.column,
            "count": self.count,
        }
        return {name: value for name, value in values.items() if value is not None}


@dataclass(slots=True)
class Findings:
    """All that is learned about one file while it is read; knows nothing of its rows' content."""

    file: str
    limits: ReadLimits
    format: str | None = None
    compression: str | None = None
    encoding: str | None = None
    delimiter: str | None = None
    quoting: str | None = None
    unit: Unit = "line"
    columns: tuple[str, ...] = ()
    num_rows: int = 0
    num_errors: int = 0
    errors: list[Problem] = field(default_factory=list)
    warnings: list[Problem] = field(default_factory=list)
    bad: set[int] = field(default_factory=set)  # lines or records that cannot be used
    is_unusable: bool = False  # an error of the file as a whole was noted

    @property
    def problems(self) -> list[Problem]:
        """The listed errors in the file's order, then the warnings."""
        return [*sorted(self.errors, key=_order), *self.warnings]

    def place(self, where: int) -> str:
        """`where` in words."""
        return f"{self.unit} {where}"

    def places(self, wheres: Iterable[int], limit: int = 10) -> str:
        """The first of many places in words."""
        numbers = sorted(wheres)
        shown = ", ".join(str(number) for number in numbers[:limit])
        more = f" and {len(numbers) - limit:,} more" if len(numbers) > limit else ""
        return f"{self.unit}{'s' if len(numbers) > 1 else ''} {shown}{more}"

    def bad_row(self, code: str, message: str, where: int, column: str | None = None) -> None:
        """Notes a row that cannot be used."""
        self.bad.add(where)
        self.num_errors += 1
        if len(self.errors) < self.limits.max_listed:
            self.errors.append(self._problem("error", code, message, where, column))

    def warn(
        self, code: str, message: str, *, where: int | None = None, column: str | None = None,
        count: int = 1,
    ) -> None:  # fmt: skip
        """Notes something that the user should know and that stops nothing."""
        problem = self._problem("warning", code, message, where, column)
        self.warnings.append(replace(problem, count=count))

    def error(self, code: str, message: str, *, column: str | None = None) -> None:
        """Notes an error of the file as a whole."""
        self.is_unusable = True
        self.num_errors += 1
        self.errors.insert(0, self._problem("error", code, message, None, column))

    def refusal(
        self, code: str, message: str, *, where: int | None = None, column: str | None = None
    ) -> UploadRefused:
        """The refusal of a file that cannot be read on."""
        self.num_errors += 1
        problem = self._problem("error", code, message, where, column)
        self.errors.insert(0, problem)
        return UploadRefused(f"{self.file}: {problem}", details=self._details())

    def rows_refusal(self) -> UploadRefused:
        """The refusal of a file whose errors have been noted."""
        errors = sorted(self.errors, key=_order)
        shown = "; ".join(str(problem) for problem in errors[:MESSAGE_PROBLEMS])
        more = self.num_errors - MESSAGE_PROBLEMS
        tail = f"; and {more:,} more" if more > 0 else ""
        advice = ""
        if self.bad:
            rows = f"{len(self.bad):,} of {self.num_rows:,} rows cannot be used: "
            shown = rows + shown
            advice = ". Correct them, or ask for bad rows to be skipped (on_bad_rows=skip)"
        return UploadRefused(f"{self.file}: {shown}{tail}{advice}", details=self._details())

    def forgive(self) -> None:
        """Turns the errors of rows into warnings: the rows are left out."""
        errors = sorted(self.errors, key=_order)
        self.warnings[:0] = [replace(problem, severity="warning") for problem in errors]
        self.errors.clear()

    def _problem(
        self, severity: Literal["error", "warning"], code: str, message: str,
        where: int | None, column: str | None,
    ) -> Problem:  # fmt: skip
        shown = None if column is None else plain(column)
        if self.unit == "line":
            return Problem(severity, code, message, self.file, line=where, column=shown)
        return Problem(severity, code, message, self.file, record=where, column=shown)

    def _details(self) -> dict[str, Any]:
        return {
            "problems": [problem.to_dict() for problem in self.problems],
            "num_problems": self.num_errors + len(self.warnings),
            "file": self.file,
            "format": str(self.format) if self.format else None,
            "compression": self.compression,
            "encoding": self.encoding,
            "delimiter": self.delimiter,
            "columns": [plain(name) for name in self.columns[:100]],
            "num_rows": self.num_rows,
            "num_bad_rows": len(self.bad),
        }


def _order(problem: Problem) -> int:
    """Problems of the file as a whole come first."""
    return problem.line or problem.record or 0
