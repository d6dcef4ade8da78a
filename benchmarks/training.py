"""How fast adapters are trained, beside a padded reference and the least that it can cost.

The reference trains the same adapter and head on the same rows in the same batches, by the stock
model, each batch padded to its longest row. The least is what no training on this base can leave
out: the matrix products of its own linear layers, forward and for the gradient of what went in, at
the batch's own number of tokens. All of them take turns step by step, so that every batch is
computed by each of them under the same load. One thread, and the clock is that of its processor
time.
"""

import argparse
import random
import statistics
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from contest.contender import Headed
from contest.loop import Loop
from contest.padding import Padded
from contest.stage import Stage
from report import report
from torch import Tensor, nn
from transformers import DynamicCache

from skhost.uploads import ReadRequest, read_dataset
from sktuning import families
from sktuning.base import FrozenBase
from sktuning.classify import Classifier, text_offset
from sktuning.config import AdapterSpec, TrainingConfig
from sktuning.data import Dataset
from sktuning.loading import find_source
from sktuning.methods import default_learning_rate, make_encoder
from sktuning.rows import Hidden, Row
from sktuning.state import PromptState
from sktuning.tokens import EncodedRow
from sktuning.training.objective import Objective
from sktuning.training.trainer import Trainer, make_config

REFERENCE, OURS, FLOOR = "padded reference", "sktuning", "matrix products alone"
PRECISIONS: Mapping[str, str] = {"float32": "no", "bfloat16": "bf16"}
UNCOUNTED = 3  # first steps of each: kernels are prepared, and the head is warm-started

Steps = Iterator[object]


class PaddedBody:
    """An SK-prefix on the stock model: the prefix as its cache, rows padded on the right."""

    is_free = False

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._encoder = make_encoder(stage.base, stage.semantics, stage.config)
        self._model = stage.stock()
        self._first = families.position_start(self._model.config) + text_offset(stage.config)

    def hidden(self, rows: Sequence[EncodedRow]) -> Hidden:
        """One padded forward."""
        batch = Padded.of(rows, self._stage.pad_id, self._stage.device)
        state = self._encoder()
        states = self._model(
            input_ids=batch.ids,
            token_type_ids=batch.type_ids,
            position_ids=self._first + torch.arange(batch.ids.shape[1])[None],
            attention_mask=batch.mask_behind(state.length),
            past_key_values=self._cache(state.tensor, len(rows)),
        ).last_hidden_state
        return batch.own(states)

    def parameters(self) -> list[nn.Parameter]:
        """The transform's."""
        return list(self._encoder.parameters())

    def set_training(self, on: bool) -> None:
        """The base is frozen: it never drops out."""

    def served(self) -> Mapping[str, Tensor]:
        """The materialised prompt."""
        return {"prompt": self._encoder().tensor.detach()}

    def _cache(self, kv: Tensor, rows: int) -> Any:
        """(L, 2, n_kv, P, D) for so many rows."""
        cache = DynamicCache()
        for layer, pair in enumerate(kv.to(self._stage.base.dtype).unbind()):
            key, value = pair[:, None].expand(-1, rows, -1, -1, -1)
            cache.update(key, value, layer)
        return cache


class MatrixProducts:
    """The products of a base's linear layers with so many tokens, and nothing else.

    Args:
        base: says in one forward which layers its gradient goes through.
        max_tokens: of a step.
    """

    def __init__(self, base: FrozenBase, max_tokens: int) -> None:
        self._weights: list[Tensor] = []
        self._passed: list[Tensor] = []  # whose input needs a gradient
        kv = Classifier(base).semantics.get("a text").kv.requires_grad_()
        handles = [
            module.register_forward_pre_hook(self._see)
            for module in base.model.modules()
            if isinstance(module, nn.Linear)
        ]
        base.forward([Row((3, 4), (0, 0), PromptState(kv=kv))])
        for handle in handles:
            handle.remove()
        widths = {width for weight in self._weights for width in weight.shape}
        self._states = {n: torch.full((max_tokens, n), 0.1, dtype=base.dtype) for n in widths}

    def __call__(self, tokens: int) -> None:
        """A step's products."""
        for weight in self._weights:
            nn.functional.linear(self._states[weight.shape[1]][:tokens], weight)
        for weight in reversed(self._passed):
            self._states[weight.shape[0]][:tokens] @ weight

    def _see(self, module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        assert isinstance(module.weight, Tensor)
        self._weights.append(module.weight)
        if inputs[0].requires_grad:
            self._passed.append(module.weight)


@dataclass(frozen=True, slots=True)
class Contestant:
    """Who takes turns; `steps` does one step of training whenever it is asked for the next."""

    what: str
    dtype: str
    steps: Steps


class Race:
    """All contestants on the batches of one dataset."""

    def __init__(self, dataset: Dataset, source: Path | None) -> None:
        self._dataset = dataset
        self._source = source
        self.batch_size = TrainingConfig().batch_size
        self._tokens: list[int] = []  # of each batch, as the first reference sees them
        self.contestants = [
            Contestant(what, dtype, make(dtype))
            for what, make in (
                (REFERENCE, self._reference),
                (OURS, self._ours),
                (FLOOR, self._floor),
            )
            for dtype in PRECISIONS
        ]

    @property
    def tokens(self) -> Sequence[int]:
        """Of each batch so far, without padding."""
        return self._tokens

    def step(self) -> list[float]:
        """A step of everyone on the same batch; the seconds of each."""
        return [_seconds(contestant.steps) for contestant in self.contestants]

    def _reference(self, dtype: str) -> Steps:
        classifier = Classifier(FrozenBase.load(self._source, device="cpu", dtype=dtype))
        spec = AdapterSpec()
        rate = default_learning_rate(spec.method, spec.transform)
        training = TrainingConfig(epochs=1, learning_rate=rate)
        config = make_config(classifier, self._dataset, replace(spec, training=training))
        stage = Stage(classifier, config, find_source(self._source).location)
        objective = Objective(config, self._dataset.train)
        rows = objective.encode(self._dataset.train, classifier.encoder, training.max_length)
        torch.manual_seed(config.seed)
        contender = Headed(PaddedBody(stage), stage)
        loop = Loop(contender, rows, objective, training, stage.device)
        loop.warm_start()
        if not self._tokens:
            self._tokens = [sum(len(e.row) for e in loop.batch(s)) for s in range(loop.num_steps)]
        return loop.run(points=loop.num_steps)

    def _ours(self, dtype: str) -> Steps:
        base = FrozenBase.load(self._source, device="cpu", dtype="float32")
        training = TrainingConfig(epochs=1, evaluations=1, mixed_precision=PRECISIONS[dtype])
        run = Trainer(base, self._dataset, AdapterSpec(training=training)).run()
        next(run)  # says that the head is warm-started next
        return run

    def _floor(self, dtype: str) -> Steps:
        base = FrozenBase.load(self._source, device="cpu", dtype=dtype)
        products = MatrixProducts(base, max(self._tokens))
        for tokens in self._tokens:
            products(tokens)
            yield tokens


def _seconds(steps: Steps) -> float:
    """Of the next of them."""
    began = time.process_time()
    next(steps)
    return time.process_time() - began


def measure(dataset: Dataset, name: str, steps: int, source: Path | None) -> list[dict[str, Any]]:
    """A dataset's rows of the table."""
    race = Race(dataset, source)
    for _ in range(UNCOUNTED):
        race.step()
    taken = [race.step() for _ in range(steps)]
    times = {
        (c.what, c.dtype): column
        for c, column in zip(race.contestants, zip(*taken, strict=True), strict=True)
    }
    tokens = statistics.mean(race.tokens[UNCOUNTED : UNCOUNTED + steps])
    return [
        {
            "dataset": name,
            "what": what,
            "dtype": dtype,
            "rows_per_s": round(race.batch_size / statistics.median(own), 1),
            "ms_per_step": round(1e3 * statistics.median(own), 1),
            "times_padded_float32": _ratio(times[REFERENCE, "float32"], own),
            "times_padded_same_dtype": _ratio(times[REFERENCE, dtype], own),
            "share_of_floor": _ratio(times[FLOOR, dtype], own),
            "tokens_per_step": round(tokens),
            "steps": steps,
        }
        for (what, dtype), own in times.items()
    ]


def _ratio(others: Sequence[float], own: Sequence[float]) -> float:
    """The median over the steps: both had the same batch."""
    return round(statistics.median(a / b for a, b in zip(others, own, strict=True)), 3)


def read(folder: Path, rows: int) -> Dataset:
    """So many of the training rows, always the same, and one row held out."""
    whole = read_dataset(folder / "train.jsonl", ReadRequest()).dataset
    train = tuple(random.Random(0).sample(whole.train, rows))
    return replace(whole, train=train, held_out=whole.held_out[:1])


def main(arguments: list[str]) -> int:
    """Measure the datasets that are asked for."""
    parser = argparse.ArgumentParser(prog="benchmarks/training.py", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of the datasets' folders")
    parser.add_argument("--only", nargs="+", metavar="NAME", default=["sst2", "trec"])
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the rows here too")
    parser.add_argument("--base", type=Path, help="an encoder; the packaged one by default")
    parser.add_argument("--steps", type=int, default=40, help="of each contestant, that count")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    needed = (UNCOUNTED + options.steps + 1) * TrainingConfig().batch_size
    rows: list[dict[str, Any]] = []
    for name in options.only:
        dataset = read(options.data / name, needed)
        rows += measure(dataset, name, options.steps, options.base)
    report("Training, processor time of one thread", rows, options.json)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
