"""Following a training job to its end: a progress bar, then a table of metrics."""

from collections.abc import Iterator
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn
from rich.table import Table

from skhost.cli.session import CommandError, Session, new_table, write_json
from skhost.client import Event

INTERRUPTED = 130
ENDED = frozenset({"succeeded", "failed", "cancelled"})


def follow(s: Session, job_id: str, after: str | None = None) -> dict[str, Any]:
    """Show the job's events until it has ended; the ended job.

    Raises:
        CommandError: the job failed or was cancelled; or Ctrl-C: the job goes on without us.
    """
    try:
        if s.as_json:
            for event in s.client.events(job_id, after):
                write_json({"event": event.kind, "id": event.id, **event.data})
        else:
            show_progress(s.err, s.client.events(job_id, after))
    except KeyboardInterrupt:
        raise CommandError(
            f"detached; job {job_id} goes on. Watch it: skhost jobs watch {job_id}. "
            f"Stop it: skhost jobs cancel {job_id}",
            exit_code=INTERRUPTED,
        ) from None
    job = s.client.job(job_id)
    if job["state"] != "succeeded":
        raise CommandError(ending(job))
    return job


def show_progress(console: Console, events: Iterator[Event]) -> None:
    """A bar that moves with the events."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[note]}"),
    )
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("queued", total=None, note="")
        for event in events:
            _advance(progress, task, event)


def _advance(progress: Progress, task: TaskID, event: Event) -> None:
    data = event.data
    if "state" in data:
        progress.update(task, description=f"{data['state']:<10}")
    if "step" in data and data.get("num_steps"):
        progress.update(task, completed=data["step"], total=data["num_steps"], note=_note(data))
    if data.get("state") in ENDED:  # training may have stopped early
        progress.update(task, total=progress.tasks[task].completed, note="")
    if data.get("message"):
        progress.console.print(f"  {data['message']}", markup=False, highlight=False)


def _note(data: dict[str, Any]) -> str:
    parts = []
    if data.get("loss") is not None:
        parts.append(f"loss {data['loss']:.3f}")
    if data.get("eta_s") is not None:
        parts.append(f"{data['eta_s']:.0f} s left")
    return ", ".join(parts)


def ending(job: dict[str, Any]) -> str:
    """How a job that did not succeed ended."""
    error = job.get("error")
    if error:
        return f"job {job['id']} {job['state']}: {error['message']} ({error['code']})"
    return f"job {job['id']} was {job['state']}"


def result_table(job: dict[str, Any]) -> Table:
    """The numbers of a job that succeeded."""
    result = job["result"]
    title = f"{job['name']}@{result['version']}"
    table = new_table("held-out metric", "value", title=title)
    for name, value in scalars(result["metrics"]):
        table.add_row(name, f"{value:,}" if isinstance(value, int) else f"{value:.4f}")
    return table


def scalars(metrics: dict[str, Any]) -> list[tuple[str, float]]:
    """The metrics that are one number each."""
    return [
        (name, value)
        for name, value in metrics.items()
        if isinstance(value, (int, float)) and not isinstance(value, bool)
    ]


def verdict(job: dict[str, Any]) -> str:
    """Whether the new version answers now."""
    result = job["result"]
    ref = f"{job['name']}@{result['version']}"
    note = f" ({result['note']})" if result.get("note") else ""
    if result.get("promoted"):
        return f"{ref} answers now{note}"
    return f"{ref} is a candidate: promote it with skhost adapters promote {job['name']} " + (
        f"{result['version']}{note}"
    )
