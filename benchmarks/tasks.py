"""How well adapters do on datasets, when their users give nothing but a file and a name.

For each dataset (a folder with train.jsonl and test.jsonl): upload the training rows, wait for the
adapter, classify the test rows, all over HTTP, and score the answers. Beside it, on the very rows
that the adapter learned from: the commonest answer, and a logistic head on the frozen base.
"""

import argparse
import json
import random
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from local_service import running
from report import report

from skhost.client import ApiError, Client
from skhost.uploads import ReadRequest, read_dataset
from sktuning import baselines
from sktuning.base import FrozenBase
from sktuning.classify import Classifier
from sktuning.config import AdapterConfig, AdapterSpec, Task, TrainingConfig
from sktuning.data import Dataset, Example, Target, TextInput
from sktuning.decode import Array
from sktuning.metrics import MAIN_METRIC, score
from sktuning.training.trainer import make_config

CAPS = {"goemotions": 10_000}  # training rows; the whole takes a processor most of an hour
METRICS = {"sms_spam": "macro_f1", "germeval2018": "macro_f1"}  # one label is rare
REQUEST_ITEMS = 64
_YES = 10.0  # a logit for what was answered; the others get its negative


def read_rows(path: Path, dataset: Dataset) -> list[Example]:
    """The rows of a file in the datasets' common format."""
    with path.open(encoding="utf-8") as file:
        return [_example(json.loads(line), dataset.task) for line in file]


def _example(row: dict[str, Any], task: Task) -> Example:
    if task is Task.TOKENS:
        return Example(TextInput(tokens=tuple(row["tokens"])), tuple(row["tags"]))
    target: Target = tuple(row["labels"]) if task is Task.MULTI_LABEL else row["label"]
    return Example(TextInput(row["text"], row.get("text_pair")), target)


@contextmanager
def capped(path: Path, rows: int | None) -> Iterator[Path]:
    """The file, or a copy with so many of its rows, drawn with a fixed seed, in their order."""
    lines = path.read_bytes().splitlines(keepends=True)
    if rows is None or len(lines) <= rows:
        yield path
        return
    kept = sorted(random.Random(0).sample(range(len(lines)), rows))
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / path.name
        copy.write_bytes(b"".join(lines[i] for i in kept))
        yield copy


def train(client: Client, file: Path, name: str, method: str | None) -> dict[str, Any]:
    """Upload the file and follow the job to its end; the job's result.

    Raises:
        RuntimeError: the training did not succeed.
    """
    job = client.train(file, name, method=method)
    for event in client.events(job["id"]):
        if event.kind == "progress" and event.data.get("metrics"):
            print(f"  {name}: step {event.data['step']}/{event.data['num_steps']}", file=sys.stderr)
    job = client.job(job["id"])
    if job["state"] != "succeeded":
        raise RuntimeError(f"training {name} ended as {job['state']}: {job.get('error')}")
    result: dict[str, Any] = job["result"]
    return result


def classify(client: Client, ref: str, inputs: Sequence[TextInput]) -> list[dict[str, Any]]:
    """The items of one request; waits where the service asks for it."""
    body: dict[str, Any] = {"texts": [item.text for item in inputs]}
    if inputs[0].tokens is not None:
        body = {"tokens": [item.tokens for item in inputs]}
    elif inputs[0].text_pair is not None:
        body = {"pairs": [(item.text, item.text_pair) for item in inputs]}
    while True:
        try:
            results: list[dict[str, Any]] = client.classify(ref, **body)["results"]
        except ApiError as error:
            if error.retry_after_s is None:
                raise
            time.sleep(error.retry_after_s)
        else:
            return results


def as_logits(config: AdapterConfig, answer: dict[str, Any]) -> Array:
    """Logits whose decision is what was answered over HTTP.

    Raises:
        RuntimeError: there is an error instead of an answer.
    """
    if "error" in answer:
        raise RuntimeError(f"a test row was not answered: {answer['error']}")
    if config.task is Task.REGRESSION:
        return np.array([answer["value"]])
    if config.task is Task.TOKENS:
        return np.stack([_certain(config, [tag]) for tag in answer["tags"]])
    labels = answer["labels"] if config.task is Task.MULTI_LABEL else [answer["label"]]
    return _certain(config, labels)


def _certain(config: AdapterConfig, labels: Sequence[str]) -> Array:
    return np.where(np.isin(config.labels, labels), _YES, -_YES)


def measure(
    client: Client, classifier: Classifier, folder: Path, method: str | None, cap: int | None
) -> dict[str, Any]:
    """One dataset's row of the table."""
    with capped(folder / "train.jsonl", cap) as file:
        dataset = read_dataset(file, ReadRequest()).dataset
        test = read_rows(folder / "test.jsonl", dataset)
        name = f"bench-{folder.name}".replace("_", "-")
        result = train(client, file, name, method)
    ref = f"{name}@{result['version']}"
    answers = [
        item
        for at in range(0, len(test), REQUEST_ITEMS)
        for item in classify(client, ref, [e.input for e in test[at : at + REQUEST_ITEMS]])
    ]
    config = make_config(classifier, dataset, AdapterSpec())
    targets = [example.target for example in test]
    metric = METRICS.get(folder.name, MAIN_METRIC[dataset.task])
    value = score(config, [as_logits(config, a) for a in answers], targets)[metric]
    commonest = baselines.majority(config, dataset.train, test)[metric]
    max_length = TrainingConfig().max_length
    head = baselines.logistic(
        classifier,
        config,
        dataset.train,
        test,
        held_out=dataset.held_out,
        max_length=max_length,
    )
    return {
        "dataset": folder.name,
        "method": method or AdapterSpec().method,
        "metric": metric,
        "value": round(value, 4),
        "majority": round(commonest, 4),
        "logistic": round(head[metric], 4),
        "ahead": bool(value > max(commonest, head[metric])),
        "trainable": result["num_trainable"],
        "train_s": round(result["seconds"], 1),
        "artifact_bytes": result["artifact_bytes"],
        "rows": len(dataset.train) + len(dataset.held_out),
        "test_rows": len(test),
        "labels": len(dataset.labels),
    }


@contextmanager
def service_at(url: str | None, base: str | None) -> Iterator[str]:
    """The URL that was given, or that of a service of our own."""
    if url is not None:
        yield url
        return
    with running(settings={} if base is None else {"SKHOST_BASE": base}) as service:
        yield service.url


def main(arguments: list[str]) -> int:
    """Measure the datasets that are asked for, all that are there by default."""
    parser = argparse.ArgumentParser(prog="benchmarks/tasks.py", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of the datasets' folders")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="these datasets; default: all")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the rows here too")
    parser.add_argument("--url", help="a running service; starts its own by default")
    parser.add_argument("--base", help="base model; the packaged one by default")
    parser.add_argument("--method", choices=["sk-prefix", "sk-prompt"])
    parser.add_argument("--rows", type=int, help="use so many training rows of each dataset")
    options = parser.parse_args(arguments)
    found = sorted(path.parent.name for path in options.data.glob("*/test.jsonl"))
    names = options.only or found
    if unknown := set(names) - set(found):
        parser.error(f"no test.jsonl in {options.data} for {', '.join(sorted(unknown))}")
    classifier = Classifier(FrozenBase.load(options.base))
    rows: list[dict[str, Any]] = []
    try:
        with service_at(options.url, options.base) as url, Client(url) as client:
            for name in names:
                cap = options.rows or CAPS.get(name)
                rows.append(measure(client, classifier, options.data / name, options.method, cap))
    finally:  # an hour's figures are worth having though the last dataset failed
        if rows:
            report("Datasets, nothing given but a file and a name", rows, options.json)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
