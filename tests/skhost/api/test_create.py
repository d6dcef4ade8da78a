"""POST /adapters: label names in, an adapter that answers out; refusals leave nothing behind."""

import io
import tarfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import httpx
import pytest
from live_server import LiveServer, archive_of, error_of

LABELS = ["good", "bad"]


@pytest.fixture
def name(http: httpx.Client) -> Iterator[str]:
    """A name that no adapter has; whatever gets it is removed."""
    name = f"z-{uuid4().hex[:8]}"
    yield name
    http.delete(f"/adapters/{name}")


def create(http: httpx.Client, name: str, labels: Any = LABELS, **more: Any) -> httpx.Response:
    return http.post("/adapters", json={"name": name, "labels": labels, **more})


def test_label_names_become_an_adapter_that_answers_at_once(http: httpx.Client, name: str) -> None:
    described = {"bad": "an awful text", "good": ["a great text", "very good"]}
    made = create(http, name, descriptions=described)
    assert made.status_code == 201
    version = made.json()
    assert (version["version"], version["state"], version["note"]) == (1, "live", None)
    assert (version["origin"], version["job_id"], version["metrics"]) == ("labels", None, {})
    assert version["labels"] == LABELS
    found = http.get(made.headers["Location"]).json()
    assert found == {"name": name, "versions": [version]}
    body = {"texts": ["a great text", "an awful text"]}
    answer = http.post("/classify", params={"adapter": name}, json=body).json()
    assert answer["digest"] == version["digest"]
    assert [item["label"] for item in answer["results"]] == ["good", "bad"]
    assert all(0.5 < item["score"] < 0.99 for item in answer["results"])


def test_its_archive_says_what_it_is_and_goes_elsewhere(http: httpx.Client, name: str) -> None:
    create(http, name)
    archive = http.get(f"/adapters/{name}/export").content
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        card = tar.extractfile("README.md")
        assert card is not None
        assert "without any data" in card.read().decode()
    headers = {"Content-Type": "application/gzip"}
    moved = http.post(f"/adapters/{name}-2/import", content=archive, headers=headers)
    assert moved.status_code == 201
    assert (moved.json()["origin"], moved.json()["labels"]) == ("import", LABELS)
    assert http.delete(f"/adapters/{name}-2").status_code == 204


def test_a_name_that_is_taken_keeps_what_it_has(http: httpx.Client, name: str) -> None:
    first = create(http, name).json()
    error_of(create(http, name, ["a text", "no text"]), 409, "conflict", name, "train or import")
    error_of(create(http, name), 409, "conflict")
    assert http.get(f"/adapters/{name}/versions").json()["versions"] == [first]
    assert _answers(http, name)
    assert http.delete(f"/adapters/{name}").status_code == 204
    assert create(http, name).json()["version"] == 2  # numbers are never used again


def test_of_many_at_once_one_wins_and_answers(http: httpx.Client, name: str) -> None:
    with ThreadPoolExecutor(6) as pool:
        made = list(pool.map(lambda _: create(http, name), range(6)))
    assert sorted(answer.status_code for answer in made) == [201, *[409] * 5]
    assert _answers(http, name)


def test_two_names_share_one_artifact_and_outlive_each_other(http: httpx.Client, name: str) -> None:
    digests = {create(http, one).json()["digest"] for one in (name, f"{name}-2")}
    assert len(digests) == 1
    assert http.delete(f"/adapters/{name}").status_code == 204
    assert _answers(http, f"{name}-2")
    assert http.delete(f"/adapters/{name}-2").status_code == 204


def test_later_versions_go_on_under_the_name(
    http: httpx.Client, live: LiveServer, name: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    create(http, name)
    archive = archive_of(live.base, tmp_path_factory.mktemp("a") / "a.tar.gz", seed=77)
    headers = {"Content-Type": "application/gzip"}
    path = f"/adapters/{name}/import?promote=true"
    second = http.post(path, content=archive.read_bytes(), headers=headers).json()
    assert (second["version"], second["origin"]) == (2, "import")
    assert http.post(f"/adapters/{name}/rollback").json()["aliases"] == {"prod": 1}
    assert _answers(http, name)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"labels": ["good"]}, "labels"),
        ({"labels": "good,bad"}, "labels"),
        ({"labels": ["good", "good"]}, "must differ"),
        ({"labels": ["good", ""]}, "1 to 1000 characters"),
        ({"labels": ["1", "2"]}, "label '1' has no letters"),
        ({"labels": ["very_good", "very good"]}, "alike"),
        ({"labels": LABELS, "descriptions": {"ugly": "awful"}}, "'ugly' is described"),
        ({"labels": LABELS, "descriptions": {"bad": [1]}}, "descriptions"),
        ({"labels": LABELS, "description": {}}, "did you mean 'descriptions'"),
        ({"labels": LABELS, "name": "No!"}, "adapter name 'No!'"),
        ({"labels": LABELS, "task": "multi-label"}, "unknown field 'task'"),
        ({}, "labels"),
    ],
)
def test_what_no_adapter_can_be_made_of_is_refused_and_leaves_nothing(
    http: httpx.Client, live: LiveServer, name: str, body: dict[str, Any], message: str
) -> None:
    before = _stored(live)
    answer = http.post("/adapters", json={"name": name, **body})
    error_of(answer, 422, "invalid_request", message)
    error_of(http.get(f"/adapters/{name}"), 404, "adapter_not_found")
    assert _stored(live) == before


def _answers(http: httpx.Client, name: str) -> bool:
    answer = http.post("/classify", params={"adapter": name}, json={"text": "a good text"})
    return answer.status_code == 200 and "label" in answer.json()["results"][0]


def _stored(live: LiveServer) -> list[str]:
    """Every file of the store and of what comes and goes."""
    data = live.services.settings.data_dir
    places = (data / "store", data / "incoming")
    return sorted(str(p) for place in places for p in place.rglob("*") if p.is_file())
