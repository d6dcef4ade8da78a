"""A small synchronous client of the service's HTTP interface."""

import http.client
import json
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import httpx

from skhost.duplex import exchange

RECONNECT_FOR_S = 60.0  # events: how long a server may be away
RECONNECT_EVERY_S = 0.5
STREAM_TIMEOUT_S = 60.0  # the server sends a comment line every 15 s

Json = dict[str, Any]


class ApiError(Exception):
    """The service refused, or could not be reached.

    Attributes:
        status: of the answer; None if there was none.
        code: the service's error code; "unreachable" if there was no answer.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        code: str = "unreachable",
        details: Json | None = None,
        request_id: str | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.status = status
        self.code = code
        self.details = details or {}
        self.request_id = request_id
        self.retry_after_s = retry_after_s


@dataclass(frozen=True, slots=True)
class Event:
    """One server-sent event of a job."""

    id: str
    kind: str
    data: Json


class Client:
    """One connection pool to one server; use it in a `with` block.

    Every method raises ApiError if the service refuses or cannot be reached.
    """

    def __init__(self, url: str, *, api_key: str | None = None, timeout_s: float = 120.0) -> None:
        self.url = url.rstrip("/")
        self._credentials = {} if api_key is None else {"Authorization": f"Bearer {api_key}"}
        self._http = httpx.Client(
            base_url=self.url,
            headers=self._credentials,
            timeout=httpx.Timeout(timeout_s, connect=5.0),
            trust_env=False,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def request(self, method: str, path: str, **kwargs: Any) -> httpx.Response:
        """Any request; the response is read and known to be a success."""
        with self._errors():
            return _checked(self._http.request(method, path, **kwargs))

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except httpx.TimeoutException as error:
            raise ApiError(f"{self.url} did not answer in time") from error
        except (httpx.TransportError, httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
            raise ApiError(
                f"cannot reach {self.url}: {error}; `skhost up` starts a server"
            ) from error

    def _json(self, method: str, path: str, **kwargs: Any) -> Json:
        response = self.request(method, path, **kwargs)
        try:
            value: Json = response.json()
        except ValueError as error:
            raise _no_skhost(response) from error
        return value

    # classify

    def classify(
        self,
        adapter: str,
        *,
        text: str | None = None,
        texts: Sequence[str] | None = None,
        pairs: Sequence[tuple[str, str]] | None = None,
        tokens: Sequence[Sequence[str]] | None = None,
        priority: str | None = None,
        timeout_s: float | None = None,
        **options: Any,
    ) -> Json:
        """POST /classify; `options` are top_k, threshold, scores, max_risk and truncate."""
        given = {"text": text, "texts": texts, "pairs": pairs, "tokens": tokens, **options}
        body = {name: value for name, value in given.items() if value is not None}
        params = _given(adapter=adapter, priority=priority, timeout_s=timeout_s)
        return self._json("POST", "/classify", params=params, json=body)

    def classify_stream(
        self, adapter: str, pieces: Iterable[bytes], **options: Any
    ) -> Iterator[Json]:
        """POST /classify/stream: an answer a row, while `pieces` of JSON Lines are being sent.

        Each answer has the adapter and version. Raises ApiError also where the stream ended
        before all rows were answered, and whatever `pieces` raises.
        """
        params = httpx.QueryParams(_given(adapter=adapter, **options))
        url = f"{self.url}/classify/stream?{params}"
        types = {"Content-Type": "application/x-ndjson", "Accept": "application/x-ndjson"}
        headers = {**self._credentials, **types}
        try:
            with exchange(url, headers, pieces, STREAM_TIMEOUT_S) as response:
                if response.status >= 400:
                    raise _refusal(_read(url, response))
                yield from _answers(response)
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise ApiError(
                f"the stream with {self.url} broke: {str(error) or type(error).__name__}"
            ) from error

    # train

    def train(self, file: Path, name: str, *, held_out: Path | None = None, **fields: Any) -> Json:
        """POST /train; the job, queued. `fields` are the form's other fields."""
        data = {key: str(value) for key, value in fields.items() if value is not None}
        with ExitStack() as stack:
            files = {"file": (file.name, stack.enter_context(file.open("rb")))}
            if held_out is not None:
                files["held_out"] = (held_out.name, stack.enter_context(held_out.open("rb")))
            return self._json("POST", "/train", data={"name": name, **data}, files=files)

    def jobs(self, limit: int = 50, cursor: str | None = None) -> Json:
        """GET /train: a page of jobs, newest first."""
        return self._json("GET", "/train", params=_given(limit=limit, cursor=cursor))

    def job(self, job_id: str) -> Json:
        """GET /train/{id}."""
        return self._json("GET", f"/train/{job_id}")

    def cancel(self, job_id: str) -> Json:
        """POST /train/{id}/cancel."""
        return self._json("POST", f"/train/{job_id}/cancel")

    def resume(self, job_id: str) -> Json:
        """POST /train/{id}/resume."""
        return self._json("POST", f"/train/{job_id}/resume")

    def events(self, job_id: str, after: str | None = None) -> Iterator[Event]:
        """The job's events from the first, or from after an id, until it has ended.

        A connection that breaks is made again where it stopped.
        """
        last, lost_at = after, time.monotonic()
        while True:
            try:
                for event in self._stream_events(job_id, last):
                    last, lost_at = event.id or last, time.monotonic()
                    yield event
            except ApiError as error:
                if error.status not in {None, 503} or _elapsed(lost_at) > RECONNECT_FOR_S:
                    raise
            else:
                if self.job(job_id)["is_terminal"]:
                    return
            time.sleep(RECONNECT_EVERY_S)

    def _stream_events(self, job_id: str, after: str | None) -> Iterator[Event]:
        headers = {"Accept": "text/event-stream", **_given(**{"Last-Event-ID": after})}
        timeout = httpx.Timeout(STREAM_TIMEOUT_S, connect=5.0)
        with (
            self._errors(),
            self._http.stream(
                "GET", f"/train/{job_id}/events", headers=headers, timeout=timeout
            ) as response,
        ):
            if response.is_error:
                response.read()
            for event in parse_events(_checked(response).iter_lines()):
                if event.kind == "error":
                    raise _cut_off(event.data)
                yield event

    # adapters

    def adapters(self, limit: int = 100, cursor: str | None = None) -> Json:
        """GET /adapters: a page."""
        return self._json("GET", "/adapters", params=_given(limit=limit, cursor=cursor))

    def adapter(self, name: str) -> Json:
        """GET /adapters/{name}."""
        return self._json("GET", f"/adapters/{name}")

    def create(
        self, name: str, labels: Sequence[str], descriptions: Mapping[str, Sequence[str]]
    ) -> Json:
        """POST /adapters: the first version of an adapter, made from label names."""
        described = {label: list(texts) for label, texts in descriptions.items()}
        body = {"name": name, "labels": list(labels), "descriptions": described}
        return self._json("POST", "/adapters", json=body)

    def promote(self, name: str, version: int, alias: str = "prod") -> Json:
        """POST /adapters/{name}/promote."""
        body = {"version": version, "alias": alias}
        return self._json("POST", f"/adapters/{name}/promote", json=body)

    def rollback(self, name: str, alias: str = "prod") -> Json:
        """POST /adapters/{name}/rollback."""
        return self._json("POST", f"/adapters/{name}/rollback", json={"alias": alias})

    def set_alias(self, name: str, alias: str, version: int) -> Json:
        """PUT /adapters/{name}/aliases/{alias}."""
        return self._json("PUT", f"/adapters/{name}/aliases/{alias}", json={"version": version})

    def delete_alias(self, name: str, alias: str) -> None:
        """DELETE /adapters/{name}/aliases/{alias}."""
        self.request("DELETE", f"/adapters/{name}/aliases/{alias}")

    def pin(self, name: str, *, is_pinned: bool = True) -> Json:
        """PUT or DELETE /adapters/{name}/pin."""
        return self._json("PUT" if is_pinned else "DELETE", f"/adapters/{name}/pin")

    def lift(self, name: str, version: int) -> Json:
        """DELETE /adapters/{name}/versions/{version}/quarantine."""
        return self._json("DELETE", f"/adapters/{name}/versions/{version}/quarantine")

    def delete(self, ref: str) -> None:
        """DELETE /adapters/{name} or /adapters/{name}@{version}."""
        self.request("DELETE", f"/adapters/{ref}")

    def export(self, ref: str, target: Path, **fields: Any) -> str:
        """GET /adapters/{ref}/export into a file; the artifact's digest."""
        part = target.with_name(target.name + ".part")
        path, params = f"/adapters/{ref}/export", _given(**fields)
        try:
            with self._errors(), self._http.stream("GET", path, params=params) as response:
                if response.is_error:
                    response.read()
                digest = _checked(response).headers["X-Artifact-Digest"]
                with part.open("wb") as file:
                    for chunk in response.iter_bytes():
                        file.write(chunk)
            part.replace(target)
        finally:
            part.unlink(missing_ok=True)
        return str(digest)

    def import_archive(self, name: str, archive: Path, **fields: Any) -> Json:
        """POST /adapters/{name}/import; the version that it became."""
        with archive.open("rb") as file:
            return self._json(
                "POST",
                f"/adapters/{name}/import",
                params=_given(**fields),
                content=file,
                headers={"Content-Type": "application/gzip"},
            )

    # operations

    def info(self) -> Json:
        """GET /info."""
        return self._json("GET", "/info")

    def is_ready(self) -> bool:
        """Whether /readyz says yes; False too if nothing answers."""
        try:
            self.request("GET", "/readyz", timeout=5.0)
        except ApiError:
            return False
        return True


def parse_events(lines: Iterator[str]) -> Iterator[Event]:
    """Server-sent events from the lines of a stream; comments are passed over."""
    fields: dict[str, list[str]] = {}
    for line in lines:
        if line.startswith(":"):
            continue
        if line:
            name, _, value = line.partition(":")
            fields.setdefault(name, []).append(value.removeprefix(" "))
            continue
        if "data" in fields:
            kind = fields.get("event", ["message"])[-1]
            yield Event(fields.get("id", [""])[-1], kind, json.loads("\n".join(fields["data"])))
        fields = {}


def _answers(response: http.client.HTTPResponse) -> Iterator[Json]:
    """The lines of a stream, known to be all of them."""
    name, _, version = response.headers.get("X-Adapter", "").partition("@")
    who = {"adapter": name, "version": int(version)}
    for line in response:
        answer = json.loads(line)
        if "end" in answer:
            if (error := answer["end"].get("error")) is not None:
                raise ApiError(
                    f"after {answer['end']['rows']:,} rows: {error['message']}",
                    code=str(error["code"]),
                    details=error.get("details"),
                    request_id=error.get("request_id"),
                )
            return
        yield {**who, **answer}
    raise ValueError("it ended before its end")


def _read(url: str, response: http.client.HTTPResponse) -> httpx.Response:
    """The whole answer as the other methods have it."""
    return httpx.Response(
        response.status,
        headers=response.getheaders(),
        content=response.read(),
        request=httpx.Request("POST", url),
    )


def _checked(response: httpx.Response) -> httpx.Response:
    if not response.is_error:
        return response
    raise _refusal(response)


def _refusal(response: httpx.Response) -> ApiError:
    retry_after = response.headers.get("Retry-After", "")
    try:
        error = response.json()["error"]
        code, message = str(error["code"]), str(error["message"])
    except (ValueError, KeyError, TypeError):
        return _no_skhost(response)
    return ApiError(
        message,
        status=response.status_code,
        code=code,
        details=error.get("details"),
        request_id=error.get("request_id"),
        retry_after_s=float(retry_after) if retry_after.isdigit() else None,
    )


def _cut_off(error: Json) -> ApiError:
    """Why a stream of events ends before its job."""
    return ApiError(str(error["message"]), code=error["code"], request_id=error["request_id"])


def _no_skhost(response: httpx.Response) -> ApiError:
    return ApiError(
        f"{response.url} answered {response.status_code}, but not as a skhost server does",
        status=response.status_code,
        code="not_skhost",
    )


def _given(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _elapsed(since: float) -> float:
    return time.monotonic() - since
