"""`skhost jobs …`: trainings that wait, run or have ended."""

import time
from typing import Annotated, Any

import typer
from rich.table import Table

from skhost.cli.session import AsJson, Url, new_table, session, write_json

JobId = Annotated[str, typer.Argument(metavar="JOB", help="The job's id.")]


def group() -> typer.Typer:
    """The commands as one group."""
    app = typer.Typer(help="List, watch, cancel and resume trainings.", no_args_is_help=True)
    app.command("ls")(list_jobs)
    app.command("watch")(watch)
    app.command("cancel")(cancel)
    app.command("resume")(resume)
    return app


def list_jobs(
    ctx: typer.Context,
    limit: Annotated[int, typer.Option(help="At most so many.", min=1, max=200)] = 20,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """List the newest jobs."""
    with session(ctx, url, as_json) as s:
        jobs = s.client.jobs(limit)["jobs"]
        s.show(jobs, lambda: _table(jobs))


def watch(ctx: typer.Context, job_id: JobId, url: Url = None, as_json: AsJson = False) -> None:
    """Follow a job to its end, from its beginning; Ctrl-C detaches."""
    from skhost.cli.follow import follow, result_table, verdict

    with session(ctx, url, as_json) as s:
        job = follow(s, job_id)
        if s.as_json:
            write_json({"event": "result", "job": job})
            return
        s.out.print(result_table(job))
        s.out.print(verdict(job), highlight=False)


def cancel(ctx: typer.Context, job_id: JobId, url: Url = None, as_json: AsJson = False) -> None:
    """Ask a job to stop; its checkpoint stays."""
    with session(ctx, url, as_json) as s:
        job = s.client.cancel(job_id)
        s.show(job, lambda: f"job {job_id} is {_state(job)}")


def resume(ctx: typer.Context, job_id: JobId, url: Url = None, as_json: AsJson = False) -> None:
    """Let a job that failed or was cancelled go on from its checkpoint."""
    with session(ctx, url, as_json) as s:
        job = s.client.resume(job_id)
        s.show(job, lambda: f"job {job_id} is {_state(job)}; skhost jobs watch {job_id} follows it")


def _state(job: dict[str, Any]) -> str:
    if job.get("waiting_for_worker"):
        return f"{job['state']} (no worker is running)"
    if job.get("cancel_requested") and not job["is_terminal"]:
        return f"{job['state']} (asked to stop)"
    return str(job["state"])


def _table(jobs: list[dict[str, Any]]) -> Table | str:
    if not jobs:
        return "There are no jobs yet; `skhost train FILE --name NAME` makes one."
    table = new_table("job", "adapter", "state", "progress", "submitted", "note")
    for job in jobs:
        submitted = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(job["created_at"]))
        table.add_row(job["id"], job["name"], _state(job), _progress(job), submitted, _note(job))
    return table


def _progress(job: dict[str, Any]) -> str:
    progress = job.get("progress") or {}
    if progress.get("num_steps"):
        return f"{progress['step']}/{progress['num_steps']}"
    return ""


def _note(job: dict[str, Any]) -> str:
    error = job.get("error") or {}
    result = job.get("result") or {}
    version = f"version {result['version']}" if result else ""
    return str(error.get("message") or version)
