"""PEFT checkpoints through the door: in as versions that answer as PEFT does, and out again."""

import io
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import httpx
import numpy as np
import peft_checkpoints as checkpoints
import pytest
from live_server import LiveServer, error_of, live_server, publish, wait_until

from skhost.settings import Settings
from sktuning.config import Task, TextOffset

HEADERS = {"Content-Type": "application/gzip"}
TEXTS = ["good", "the text is not very bad"]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    """A server that holds the base of `checkpoints.stock("bert")`, pooler and all."""
    stock = checkpoints.stock("bert")
    folder = tmp_path_factory.mktemp("peft")
    stock.model.save_pretrained(folder / "tiny-bert")
    stock.tokenizer.save_pretrained(folder / "tiny-bert")
    settings = Settings(data_dir=folder / "data", base=str(folder / "tiny-bert"), drain_timeout_s=1)
    with live_server(settings) as live:
        assert live.base.identity.digest == stock.base.identity.digest
        yield live


@pytest.fixture
def client(served: LiveServer) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=served.url, timeout=30) as client:
        yield client


@pytest.fixture
def name() -> str:
    """A name that no adapter has."""
    return f"p-{uuid4().hex[:8]}"


def packed(folder: Path, *, names: Callable[[str], str] = str) -> bytes:
    """A folder's files as an archive."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        for path in sorted(folder.iterdir()):
            archive.add(path, names(path.name))
    return out.getvalue()


def send(client: httpx.Client, name: str, content: bytes, **query: object) -> httpx.Response:
    params = {key: str(value) for key, value in query.items()}
    return client.post(f"/adapters/{name}/import", content=content, headers=HEADERS, params=params)


def logits(client: httpx.Client, name: str) -> list[dict[str, float]]:
    body = {"texts": TEXTS, "scores": "logit"}
    answer = client.post("/classify", params={"adapter": name}, json=body)
    return [result["scores"] for result in answer.json()["results"]]


@pytest.mark.parametrize("kind", ["prefix-mlp", "prompt", "p-lstm"])
def test_a_checkpoint_answers_as_in_peft_and_goes_back(
    client: httpx.Client, name: str, kind: str, tmp_path: Path
) -> None:
    stock = checkpoints.stock("bert")
    model = stock.tuned(kind)
    content = packed(checkpoints.save(model, tmp_path / "there"))
    imported = send(client, name, content, labels='no,"yes, sir",maybe')
    assert imported.status_code == 201, imported.text
    assert imported.json()["labels"] == ["no", "yes, sir", "maybe"]
    assert imported.json()["state"] == "live"
    for text, scores in zip(TEXTS, logits(client, name), strict=True):
        wanted = stock.logits(model, text).numpy()
        seen = [scores[label] for label in imported.json()["labels"]]
        np.testing.assert_allclose(seen, wanted, atol=1e-4 * np.abs(wanted).max())
    back = client.get(f"/adapters/{name}/export", params={"format": "peft"})
    assert f'filename="{name}-1-peft.tar.gz"' in back.headers["Content-Disposition"]
    with tarfile.open(fileobj=io.BytesIO(back.content)) as archive:
        archive.extractall(tmp_path / "back", filter="data")
    again = stock.reloaded(tmp_path / "back")
    for text in TEXTS:
        wanted = stock.logits(model, text).numpy()
        np.testing.assert_allclose(stock.logits(again, text), wanted, atol=1e-5)


def test_the_same_checkpoint_is_the_same_artifact(
    client: httpx.Client, name: str, tmp_path: Path
) -> None:
    content = packed(checkpoints.save(checkpoints.stock("bert").tuned("prompt"), tmp_path))
    first, second = (send(client, name, content).json() for _ in range(2))
    assert first["digest"] == second["digest"]
    assert first["labels"] == ["LABEL_0", "LABEL_1", "LABEL_2"]
    assert (second["version"], second["state"]) == (2, "candidate")


def test_what_a_checkpoint_does_not_say_can_be_said(
    client: httpx.Client, name: str, tmp_path: Path
) -> None:
    content = packed(checkpoints.save(checkpoints.stock("bert").tuned("prefix"), tmp_path))
    made = send(client, name, content, labels="a,b,c", task="multi-label", pairs="true")
    assert (made.json()["task"], made.status_code) == ("multi-label", 201)
    answer = client.post("/classify", params={"adapter": name}, json={"pairs": [["good", "bad"]]})
    assert set(answer.json()["results"][0]["scores"]) == {"a", "b", "c"}


def test_refusals_say_why_and_leave_nothing(
    client: httpx.Client, served: LiveServer, name: str, tmp_path: Path
) -> None:
    before = _stored(served)
    stock = checkpoints.stock("bert")
    folder = checkpoints.save(stock.tuned("prompt"), tmp_path / "prompt")
    content = packed(folder)
    config = (folder / "adapter_config.json").read_text()
    (folder / "adapter_config.json").write_text(config.replace("PROMPT_TUNING", "LORA"))
    error_of(send(client, name, packed(folder)), 422, "artifact_refused", "'LORA'", "PREFIX_TUNING")
    (folder / "adapter_config.json").write_text("{")
    error_of(send(client, name, packed(folder)), 422, "artifact_refused", "not usable JSON")
    pickled = packed(folder, names=lambda name: name.replace(".safetensors", ".bin"))
    error_of(send(client, name, pickled), 422, "artifact_refused", "can run any code")
    wrong = send(client, name, content, labels="a,b")
    error_of(wrong, 422, "invalid_request", "2 labels given; the checkpoint has 3")
    error_of(send(client, name, content, labels="a,,b"), 422, "invalid_request", "may be empty")
    error_of(send(client, name, content, label="a"), 422, "invalid_request", "labels")
    other = checkpoints.save(checkpoints.stock("gpt2").tuned("prompt"), tmp_path / "other")
    error_of(send(client, name, packed(other)), 422, "artifact_refused", "one for bert has")
    error_of(client.get(f"/adapters/{name}"), 404, "adapter_not_found")
    assert _stored(served) == before


def test_an_adapter_of_another_shape_is_another_bases(
    client: httpx.Client, name: str, tmp_path: Path
) -> None:
    stock = checkpoints.stock("bert", "TOKEN_CLS")
    folder = checkpoints.save(stock.tuned("prompt"), tmp_path)
    from safetensors.torch import load_file, save_file

    model = folder / "adapter_model.safetensors"
    tensors = load_file(model)
    save_file({**tensors, "prompt_embeddings": tensors["prompt_embeddings"].repeat(1, 2)}, model)
    error_of(send(client, name, packed(folder)), 409, "base_mismatch", "64 numbers", "tiny-bert")


def test_artifacts_state_their_own_labels(client: httpx.Client, served: LiveServer) -> None:
    publish(served, "mood")
    content = client.get("/adapters/mood/export").content
    error_of(send(client, "copy", content, labels="a,b"), 422, "invalid_request", "states its own")


def test_what_peft_cannot_compute_is_not_exported(client: httpx.Client, served: LiveServer) -> None:
    publish(served, "plain")
    answer = client.get("/adapters/plain/export", params={"format": "peft"})
    error_of(answer, 409, "conflict", "cannot be a PEFT checkpoint", "position 0")
    publish(served, "words", Task.TOKENS, text_offset=TextOffset.AFTER_PROMPT)
    assert client.get("/adapters/words/export", params={"format": "peft"}).status_code == 200
    wrong = client.get("/adapters/words/export", params={"format": "onnx"})
    error_of(wrong, 422, "invalid_request", "format")
    # removed behind the answer, which the client may have first
    wait_until(lambda: not [path for path in _stored(served) if "incoming" in path])


def _stored(live: LiveServer) -> list[str]:
    """Every file of the store and of what comes and goes."""
    data = live.services.settings.data_dir
    places = (data / "store", data / "incoming")
    return sorted(str(p) for place in places for p in place.rglob("*") if p.is_file())
