"""POST /classify over HTTP: every kind of input, option and outcome."""

from typing import Any

import httpx
import numpy as np
import pytest
from live_server import LiveServer

from sktuning import artifact
from sktuning.data import TextInput

TEXTS = ["good text", "a very bad text", "the is"]


def classify(http: httpx.Client, adapter: str, **body: Any) -> dict[str, Any]:
    answer = http.post("/classify", params={"adapter": adapter}, json=body)
    assert answer.status_code == 200, answer.text
    values: dict[str, Any] = answer.json()
    return values


def test_a_text_gets_the_logits_of_its_adapter(http: httpx.Client, live: LiveServer) -> None:
    answer = classify(http, "mood", text=TEXTS[0], scores="logit")
    record = live.await_(live.services.home.catalog.get("mood")).select()
    adapter = live.await_(_resident(live, record))
    row = live.services.engine.classifier.encoder.encode([TextInput(TEXTS[0])], adapter.config)[0]
    expected = live.services.engine.classifier.logits([(row, adapter)])[0]  # type: ignore[list-item]
    scores = [answer["results"][0]["scores"][label] for label in adapter.config.labels]
    np.testing.assert_allclose(scores, expected, rtol=1e-4, atol=1e-5)
    assert answer["digest"] == record.digest
    assert (answer["adapter"], answer["version"], answer["task"]) == ("mood", 2, "single-label")
    assert answer["usage"] == {"tokens": len(row)}  # type: ignore[arg-type]


async def _resident(live: LiveServer, record: Any) -> Any:
    async with live.services.engine.residency.pin(record) as adapter:
        return adapter


def test_texts_are_answered_in_their_order(http: httpx.Client) -> None:
    together = classify(http, "mood", texts=TEXTS)["results"]
    alone = [classify(http, "mood", text=text)["results"][0] for text in TEXTS]
    assert [item["label"] for item in together] == [item["label"] for item in alone]
    for one, other in zip(together, alone, strict=True):
        assert one["scores"] == pytest.approx(other["scores"], abs=2e-5)
        assert sum(one["scores"].values()) == pytest.approx(1, abs=1e-4)


def test_a_version_and_an_alias_can_be_named(http: httpx.Client) -> None:
    assert classify(http, "mood@1", text="good")["version"] == 1
    assert classify(http, "mood@prod", text="good")["version"] == 2


def test_multi_label_gives_labels_and_all_scores(http: httpx.Client) -> None:
    item = classify(http, "feelings", text="good", threshold=0.0)["results"][0]
    assert sorted(item["labels"]) == ["angry", "happy"]
    assert set(item["scores"]) == {"angry", "happy"}
    assert classify(http, "feelings", text="good", threshold=1.0)["results"][0]["labels"] == []


def test_regression_gives_a_value(http: httpx.Client) -> None:
    (item,) = classify(http, "rating", text="good")["results"]
    assert set(item) == {"value"}
    assert isinstance(item["value"], float)


def test_words_get_tags_and_entities_with_characters(http: httpx.Client) -> None:
    words = ["good", "text", "is", "awful"]
    (item,) = classify(http, "things", tokens=[words])["results"]
    assert len(item["tags"]) == len(words)
    for entity in item["entities"]:
        assert " ".join(words)[entity["start"] : entity["end"]] == entity["text"]


def test_a_text_for_a_tokens_adapter_is_split_at_white_space(http: httpx.Client) -> None:
    text = "  good\ttext  is awful "
    (item,) = classify(http, "things", text=text)["results"]
    words = classify(http, "things", tokens=[text.split()])["results"][0]
    assert [e["label"] for e in item["entities"]] == [e["label"] for e in words["entities"]]
    assert item["entities"], "the seeded head finds something"
    for entity in item["entities"]:
        assert text[entity["start"] : entity["end"]] == entity["text"]


def test_pairs_are_answered_by_an_adapter_that_compares(http: httpx.Client) -> None:
    results = classify(http, "same", pairs=[["good", "bad"], ["bad", "good"]])["results"]
    assert len(results) == 2
    assert results[0]["scores"] != results[1]["scores"]


def test_several_adapters_answer_the_same_texts(http: httpx.Client) -> None:
    answers = classify(http, "mood,tone,feelings", texts=TEXTS)["adapters"]
    assert [answer["adapter"] for answer in answers] == ["mood", "tone", "feelings"]
    for answer in answers:
        alone = classify(http, answer["adapter"], texts=TEXTS)
        assert answer["digest"] == alone["digest"]
        for one, other in zip(answer["results"], alone["results"], strict=True):
            assert one["scores"] == pytest.approx(other["scores"], abs=2e-5)


@pytest.mark.parametrize(
    ("options", "keys"),
    [
        ({"scores": "none"}, {"label"}),
        ({"scores": "prob"}, {"label", "score", "scores"}),
        ({"threshold": 1.0}, {"label", "score", "scores", "abstain"}),
    ],
)
def test_options_choose_what_an_item_has(
    http: httpx.Client, options: dict[str, Any], keys: set[str]
) -> None:
    assert set(classify(http, "mood", text="good", **options)["results"][0]) == keys


def test_an_acceptable_risk_marks_answers_that_are_less_sure(http: httpx.Client) -> None:
    assert "abstain" not in classify(http, "careful", text="good")["results"][0]
    assert classify(http, "careful", text="good", max_risk=0.1)["results"][0]["abstain"] is True


@pytest.mark.parametrize(
    ("adapters", "reason"),
    [
        ("careful", "max_risk 0.01 is not known to be met: this adapter vouches for 0.1 and more"),
        ("mood", "this adapter has no risk levels"),
        ("mood,things", "no risk levels"),
        ("things", "max_risk is for single-label adapters; this one is tokens"),
    ],
)
def test_a_risk_that_nobody_vouches_for_is_refused(
    http: httpx.Client, adapters: str, reason: str
) -> None:
    body = {"text": "good", "max_risk": 0.01}
    answer = http.post("/classify", params={"adapter": adapters}, json=body)
    assert answer.status_code == 422
    assert reason in answer.json()["error"]["message"]


def test_top_k_keeps_the_best_scores(http: httpx.Client) -> None:
    item = classify(http, "mood", text="good", top_k=2)["results"][0]
    everything = classify(http, "mood", text="good")["results"][0]["scores"]
    best = sorted(everything, key=lambda label: -everything[label])[:2]
    assert list(item["scores"]) == best


def test_a_text_beyond_the_bases_length_is_cut_and_says_so(
    http: httpx.Client, live: LiveServer
) -> None:
    long = "good " * (live.base.max_length + 10)
    cut, whole = classify(http, "mood", texts=[long, "good"])["results"]
    assert cut["truncated"] == 12  # [CLS] and [SEP] besides
    assert "truncated" not in whole


def test_truncation_can_be_refused_for_one_item_without_the_rest(
    http: httpx.Client, live: LiveServer
) -> None:
    long = "good " * (live.base.max_length + 10)
    refused, fine = classify(http, "mood", texts=[long, "good"], truncate=False)["results"]
    assert refused["error"]["code"] == "input_too_long"
    assert f"the limit is {live.base.max_length}" in refused["error"]["message"]
    assert "label" in fine


def test_an_item_that_cannot_be_read_does_not_fail_the_rest(http: httpx.Client) -> None:
    huge = "x" * 5_001
    results = classify(http, "mood", texts=["good", "", " \n", huge, "bad"])["results"]
    assert [item.get("error", {}).get("code") for item in results] == [
        None,
        "invalid_input",
        "invalid_input",
        "input_too_long",
        None,
    ]
    assert "5,001 characters; at most 5,000" in results[3]["error"]["message"]


def test_stages_are_timed_in_the_header(http: httpx.Client) -> None:
    answer = http.post("/classify?adapter=mood", json={"text": "good"})
    stages = [part.split(";")[0] for part in answer.headers["Server-Timing"].split(", ")]
    assert stages == ["pin", "tokenise", "queue", "run", "decode", "total"]


def test_every_digest_is_of_an_artifact_that_can_be_exported(
    http: httpx.Client, live: LiveServer
) -> None:
    answer = classify(http, "mood", text="good")
    export = http.get("/adapters/mood@2/export")
    assert export.headers["X-Artifact-Digest"] == answer["digest"]
    assert {"manifest.json", "golden.json"} <= artifact.FILES


@pytest.mark.parametrize(
    "body",
    [
        b'{"text": "good"}',
        b'{"texts": ["good", "bad"], "top_k": 1, "scores": "logit"}',
        b'{"pairs": [["good", "bad"]], "threshold": 1}',
        b'{"tokens": [["good", "text"]]}',
        b'{"text": "good", "text": "bad"}',
        b'{"text": "good", "threshold": 1e-1, "truncate": false}',
        '{"text": "caf\u00e9 \U0001f600"}'.encode(),
        b'{"text": "\\ud83d\\ude00"}',
        b'{"text": "\\ud83d"}',
        b'\xef\xbb\xbf{"text": "good"}',
        '{"text": "good"}'.encode("utf-16"),
        b'{"text": "\xff"}',
        b'{"text": "good", "threshold": NaN}',
        b'{"text": "good", "threshold": 2}',
        b'{"text": "good", "top_k": 1.0}',
        b'{"text": "good", "top_k": true}',
        b'{"text": "good", "top_k": "1"}',
        b'{"text": "good", "tokn": 1}',
        b'{"text": "good", "texts": ["bad"]}',
        b'{"pairs": [["good"]]}',
        b'{"text": 1}',
        b'{"text": ""}',
        b'{"texts": []}',
        b'["good"]',
        b"null",
        b"{",
        b"",
        b"[" * 5000,
    ],
)
@pytest.mark.parametrize("adapter", ["mood", "same", "mood,tone", "mood@1", "nothing"])
def test_the_usual_request_gets_the_answer_that_any_other_would(
    http: httpx.Client, adapter: str, body: bytes
) -> None:
    def ask(kind: str, query: str) -> tuple[int, Any]:
        answer = http.post(f"/classify?{query}", content=body, headers={"Content-Type": kind})
        values = answer.json()
        values.get("error", {}).pop("request_id", None)
        return answer.status_code, values

    usual = ask("application/json", f"adapter={adapter}")
    assert usual == ask("application/json; charset=utf-8", f"adapter={adapter}")
    assert usual == ask("application/json", f"priority=interactive&adapter={adapter}")
