"""A thousand adapters on one service: all resident, and classified with in mixed batches.

One adapter is trained on our sample data; the others are that one with noise of their own in the
prompt state and the head, so that every artifact has tensors, golden rows and a digest of its own.
They go in through the front door (`POST /adapters/{name}/import`), each with its self-test.

Checked: the service says that all are resident; the memory they take against the computed size;
every answer carries the digest of the adapter that was asked, and equals the answer of that
adapter computed here alone.
"""

import argparse
import asyncio
import itertools
import random
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import psutil
import torch
from children import children_of
from local_service import running
from report import report

from skhost import archive
from skhost.client import Client
from skhost.uploads import ReadRequest, read_dataset
from sktuning import artifact, golden
from sktuning.adapter import Adapter
from sktuning.base import FrozenBase
from sktuning.classify import Classifier
from sktuning.config import AdapterSpec, TrainingConfig
from sktuning.data import Example, TextInput
from sktuning.decode import probabilities
from sktuning.heads import Head
from sktuning.state import PromptState
from sktuning.training.progress import TrainedAdapter
from sktuning.training.trainer import Trainer

FEEDBACK = Path(__file__).parent.parent / "examples" / "feedback.jsonl"
CLIENTS = 16
TOLERANCE = 1e-4  # of probabilities
ADAPTER_NOISE = 0.05


@dataclass(frozen=True, slots=True)
class Answer:
    """What one request came back with."""

    name: str
    text: str
    status: int
    body: dict[str, Any]
    seconds: float


def main() -> int:
    """Run the benchmark; non-zero when a check failed."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--requests", type=int, default=4000)
    parser.add_argument("--json", type=Path, dest="json_file")
    options = parser.parse_args()
    base = FrozenBase.load()
    classifier = Classifier(base)
    texts, first = train_one(base)
    base.prepare_to_serve()  # answers are compared with the server's, in its number format
    with tempfile.TemporaryDirectory() as folder, running() as service:
        api = api_process(service.pid)
        before = api.memory_info().rss
        began = time.monotonic()
        digests = {}
        with Client(service.url) as client:
            for name, packed, digest in make_archives(
                classifier, first, texts, options.count, Path(folder)
            ):
                client.import_archive(name, packed)
                digests[name] = digest
                packed.unlink()
            register_s = time.monotonic() - began
            info = client.info()
            after = api.memory_info().rss
            began = time.monotonic()
            answers = asyncio.run(ask(service.url, list(digests), texts, options.requests))
            classify_s = time.monotonic() - began
            metrics = client.request("GET", "/metrics").text
    failed = [a for a in answers if a.status != 200]
    misattributed = [a for a in answers if a.status == 200 and a.body["digest"] != digests[a.name]]
    wrong = sum(not is_right(classifier, first, a) for a in answers[:: max(len(answers) // 200, 1)])
    size = vary(first.adapter, 0).nbytes
    latencies = np.array([a.seconds for a in answers]) * 1000
    row = {
        "adapters": options.count,
        "resident": resident_count(info),
        "computed_bytes_each": size,
        "measured_bytes_each": round((after - before) / options.count),
        "computed_total_mb": round(size * options.count / 1e6, 1),
        "register_s": round(register_s, 1),
        "requests": len(answers),
        "adapters_asked": len({a.name for a in answers}),
        "failed": len(failed),
        "wrong_digest": len(misattributed),
        "wrong_answer": wrong,
        "rows_per_s": round(len(answers) / classify_s, 1),
        "p50_ms": round(float(np.percentile(latencies, 50)), 1),
        "p99_ms": round(float(np.percentile(latencies, 99)), 1),
        "adapters_a_batch": round(mean_of(metrics, "skhost_batch_adapters"), 2),
    }
    report("Many adapters on one service", [row], options.json_file)
    return 1 if failed or misattributed or wrong or row["resident"] != options.count else 0


def train_one(base: FrozenBase) -> tuple[list[str], TrainedAdapter]:
    """The adapter that all others are made from, and the texts to ask about."""
    dataset = read_dataset(FEEDBACK, ReadRequest()).dataset
    trainer = Trainer(base, dataset, AdapterSpec(training=TrainingConfig(epochs=1)))
    for _ in trainer.run():
        pass
    return [e.input.text for e in dataset.held_out], trainer.finish()


def vary(adapter: Adapter, seed: int) -> Adapter:
    """The same adapter with noise of its own."""
    generator = torch.Generator().manual_seed(seed)

    def noisy(tensor: torch.Tensor) -> torch.Tensor:
        noise = torch.randn(tensor.shape, generator=generator)
        return tensor + ADAPTER_NOISE * tensor.std() * noise

    head = Head(noisy(adapter.head.weight), noisy(adapter.head.bias))
    config = replace(adapter.config, seed=seed)
    return Adapter(config, PromptState(kv=noisy(adapter.state.tensor)), head)


def make_archives(
    classifier: Classifier, first: TrainedAdapter, texts: list[str], count: int, folder: Path
) -> Iterator[tuple[str, Path, str]]:
    """Name, archive and digest of each adapter, one at a time."""
    examples = [Example(TextInput(text), "positive") for text in texts[:6]]
    for seed in range(count):
        adapter = vary(first.adapter, seed)
        rows = golden.record(classifier, adapter, examples, count=2)
        varied = replace(first, adapter=adapter, golden=rows, trainable={})
        directory = folder / f"adapter-{seed}"
        digest = artifact.save(directory, varied)
        packed = folder / f"adapter-{seed}.tar.gz"
        with packed.open("wb") as file:
            archive.pack(directory, file)
        yield f"adapter-{seed:04}", packed, digest


async def ask(url: str, names: list[str], texts: list[str], count: int) -> list[Answer]:
    """`count` single-text requests by a few clients, every adapter at least once if it fits."""
    draw = random.Random(0)
    order = [*draw.sample(names, len(names)), *draw.choices(names, k=count)][
        : max(count, len(names))
    ]
    work = iter([(name, draw.choice(texts)) for name in order])
    async with httpx.AsyncClient(base_url=url, timeout=60) as client:
        found = await asyncio.gather(*(_client(client, work) for _ in range(CLIENTS)))
    return list(itertools.chain.from_iterable(found))


async def _client(client: httpx.AsyncClient, work: Iterator[tuple[str, str]]) -> list[Answer]:
    answers = []
    for name, text in work:
        began = time.monotonic()
        response = await client.post("/classify", params={"adapter": name}, json={"text": text})
        took = time.monotonic() - began
        answers.append(Answer(name, text, response.status_code, response.json(), took))
    return answers


def is_right(classifier: Classifier, first: TrainedAdapter, answer: Answer) -> bool:
    """Whether the answer is what that adapter says here, alone."""
    adapter = vary(first.adapter, int(answer.name.rpartition("-")[2]))
    row = classifier.encoder.encode([TextInput(answer.text)], adapter.config)[0]
    logits = classifier.logits([(row, adapter)])[0]  # type: ignore[list-item]
    probs = probabilities(adapter.config, logits)
    expected = dict(zip(adapter.config.labels, probs.tolist(), strict=True))
    seen = answer.body["results"][0]["scores"]
    return all(abs(expected[label] - seen[label]) < TOLERANCE for label in expected)


def api_process(supervisor: int) -> psutil.Process:
    """The process that holds the base and answers."""
    return next(child.process for child in children_of(supervisor) if "serve" in child.line)


def resident_count(info: dict[str, Any]) -> int:
    """How many adapters the service says it holds."""
    return int(info["residency"]["device_adapters"])


def mean_of(metrics: str, name: str) -> float:
    """The mean of a Prometheus histogram in a scrape."""
    values = {
        line.split()[0]: float(line.split()[1])
        for line in metrics.splitlines()
        if line.startswith((f"{name}_sum", f"{name}_count"))
    }
    count = values.get(f"{name}_count", 0.0)
    return values.get(f"{name}_sum", 0.0) / count if count else 0.0


if __name__ == "__main__":
    sys.exit(main())
