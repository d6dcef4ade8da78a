"""A real service, asked what schemathesis makes of its OpenAPI document, valid and not."""

import re
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from local_service import running
from schemathesis import APIOperation, GenerationMode
from schemathesis import Case as AnyCase
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import Failure, FailureGroup
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from skhost.client import Client

TIMEOUT_S = 30.0
FEEDBACK = Path(__file__).parents[2] / "examples" / "feedback.jsonl"
NAME, ALIAS, LABELS = "fuzzed", "canary", ("good", "bad")
BREAKS = not_a_server_error
CHECKS = (
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
)

Case = AnyCase[Any]
Operation = APIOperation[Any, Any, Any, Any]

schemathesis.serializer.alias(["application/x-ndjson", "application/gzip"], "text/plain")


@dataclass(slots=True)
class Answers:
    """What came back.

    Attributes:
        statuses: answers of each status.
        server_errors: answers of 5xx, by operation and status, with the request.
        undocumented: answers that the document does not describe, the same way.
    """

    statuses: Counter[int] = field(default_factory=Counter)
    server_errors: dict[str, str] = field(default_factory=dict)
    undocumented: dict[str, str] = field(default_factory=dict)

    def row(self) -> dict[str, Any]:
        """Counts, flat."""
        return {
            "target": "api",
            "inputs": self.statuses.total(),
            "accepted": sum(n for status, n in self.statuses.items() if status < 400),
            "refused": sum(n for status, n in self.statuses.items() if status >= 400),
            "statuses": ", ".join(f"{s}: {n}" for s, n in sorted(self.statuses.items())),
            "server_errors": len(self.server_errors),
            "undocumented": len(self.undocumented),
        }


def ask_everything(url: str, examples: int, number: int) -> Answers:
    """Ask each operation of the document `examples` times, half of them against its rules.

    Args:
        number: the seed.
    """
    answers = Answers()
    schema = schemathesis.openapi.from_url(f"{url}/openapi.json")
    with Client(url) as client, requests.Session() as session:
        known = _Known(client)
        for found in schema.get_all_operations():
            if not isinstance(found, Ok):
                raise found.err()
            operation = found.ok()
            for mode in GenerationMode:
                _ask(operation, mode, -(-examples // 2), number, known, session, answers)
    return answers


class _Known:
    """What is there: random names alone would find nothing."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self.job = ""
        self.refresh()

    def refresh(self) -> None:
        """An adapter with an alias and a job that has ended; what a case took away is put back."""
        names = {adapter["name"] for adapter in self._client.adapters()["adapters"]}
        if NAME not in names:
            self._client.create(NAME, LABELS, {})
        if not self.job:
            self.job = str(self._client.train(FEEDBACK, NAME)["id"])
        if not self._client.job(self.job)["is_terminal"]:
            self._client.cancel(self.job)

    def parameters(self, draw: Callable[[Any], Any], case: Case) -> None:
        """Names of what is there, in most places that take one."""
        values: Mapping[str, Any] = {
            "name": st.just(NAME),
            "ref": st.sampled_from((NAME, f"{NAME}@1", f"{NAME}@stable", f"{NAME}@{ALIAS}")),
            "alias": st.sampled_from(("stable", ALIAS)),
            "version": st.sampled_from(("1", "2")),
            "job_id": st.just(self.job),
        }
        for place in case.path_parameters:
            if place in values and draw(st.integers(0, 3)):
                case.path_parameters[place] = draw(values[place])
        if "adapter" in (case.query or {}) and draw(st.integers(0, 3)):
            case.query["adapter"] = draw(values["ref"])


def _ask(
    operation: Operation,
    mode: GenerationMode,
    examples: int,
    number: int,
    known: _Known,
    session: requests.Session,
    answers: Answers,
) -> None:
    @seed(number)
    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        phases=(Phase.explicit, Phase.generate),
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode), data=st.data())
    def ask(case: Case, data: st.DataObject) -> None:
        known.parameters(data.draw, case)
        known.refresh()
        answer = case.call(session=session, timeout=TIMEOUT_S)
        answers.statuses[answer.status_code] += 1
        for failure in _failures(case, answer, BREAKS):
            _note(answers.server_errors, operation, case, answer, failure)
        for check in CHECKS:
            for failure in _failures(case, answer, check):
                _note(answers.undocumented, operation, case, answer, failure)

    try:
        ask()
    except Exception as error:
        if "unsatisfiable" not in type(error).__name__.lower():
            raise  # what takes nothing cannot be asked against its rules


def _failures(case: Case, answer: Any, check: Any) -> Iterator[Failure]:
    try:
        case.validate_response(answer, checks=[check])
    except FailureGroup as group:
        yield from (error for error in group.exceptions if isinstance(error, Failure))


def _note(
    found: dict[str, str], operation: Operation, case: Case, answer: Any, failure: Failure
) -> None:
    key = f"{operation.label} {answer.status_code} {failure.title}"
    found.setdefault(key, f"{failure.message}\n{case.as_curl_command()}\n{answer.text[:500]}")


def fuzz_api(examples: int, number: int, found: Path) -> dict[str, Any]:
    """Ask a service of its own, on the packaged base; the row. What was found lies in `found`."""
    began = time.monotonic()
    with running("serve") as service:
        answers = ask_everything(service.url, examples, number)
        peak = psutil.Process(service.pid).memory_info().rss
    for key, text in {**answers.server_errors, **answers.undocumented}.items():
        found.mkdir(parents=True, exist_ok=True)
        (found / f"api-{re.sub(r'[^A-Za-z0-9]+', '-', key)}.txt").write_text(text)
    seconds = round(time.monotonic() - began, 1)
    return {**answers.row(), "peak_mb": round(peak / 2**20, 1), "seconds": seconds}
