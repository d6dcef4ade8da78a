"""What a base family can do, measured on a tiny seeded model of it: one row of data a family.

python tests/conformance.py docs/bases.json     measure every family and write the rows down
"""

import inspect
import json
import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
import transformers
from tiny_families import EVERY, REFUSED, Family
from workbench import Bench, Case, Made, error_of, is_after, through_head, trained_logits

from sktuning.config import Method, Task
from sktuning.decode import Array
from sktuning.errors import UnsupportedBase
from sktuning.fingerprint import base_digest
from sktuning.layers import find_layers
from sktuning.padded import PaddedForward
from sktuning.prompt.encoder import SoftPromptEncoder
from sktuning.rows import Row

TOLERANCE = 1e-5  # of the scale of what is expected, in float32 against float64
NEEDS_A_CACHE = "it reads prefixes from a causal model's key/value cache, which an encoder has not"

Measured = float | str  # the largest error over the scale; or why it cannot be, by design


@dataclass(frozen=True, slots=True)
class Conformance:
    """One family.

    Attributes:
        model_type: transformers' name of it.
        has_window: whether layers see only so many tokens back.
        path: how its rows are batched.
        text_begins: position of a text's first token: "after the prompt" or "beside the prompt".
        prefix: SK-prefix, rows in a batch on the family's path against the oracle row by row.
        prompt: the same for SK-prompt.
        packed, padded: both methods on each path; or why there is no such path.
        materialised: the finished state against the trainable that made it.
        trains: after one step the loss is finite, all that is trained got a gradient, and the base
            is the same to the last bit.
    """

    name: str
    model_type: str
    is_causal: bool
    has_window: bool
    path: str
    text_begins: str
    prefix: Measured
    prompt: Measured
    packed: Measured
    padded: Measured
    materialised: Measured
    trains: bool

    @property
    def misses(self) -> list[str]:
        """What does not hold although it is possible."""
        values = {name: value for name, value in asdict(self).items() if isinstance(value, float)}
        far = [f"{name}: {v:.1e}" for name, v in values.items() if not v < TOLERANCE]
        own = (self.prefix, self.prompt, self.materialised, getattr(self, self.path))
        absent = [value for value in own if isinstance(value, str)]
        return far + absent + ([] if self.trains else ["one step of training"])

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values; errors as bounds that another machine keeps, too."""
        return {k: _bound(v) if isinstance(v, float) else v for k, v in asdict(self).items()}


def measure(family: Family) -> Conformance:
    """Everything about one family."""
    bench = Bench(family)
    made = {method: bench.make(Case(Task.SINGLE_LABEL, method)) for method in Method}
    both = [made[Method.SK_PREFIX], made[Method.SK_PROMPT]]
    base, config = bench.base, both[0].adapter.config
    prefix, prompt = (
        _error(bench, one, seen) for one, seen in zip(both, _together(both), strict=True)
    )
    own = max(prefix, prompt)
    is_packed = base.path == "packed"
    return Conformance(
        name=family.name,
        model_type=base.family,
        is_causal=base.is_causal,
        has_window=_has_window(base.model.config),
        path=base.path,
        text_begins="after the prompt" if is_after(config) else "beside the prompt",
        prefix=prefix,
        prompt=prompt,
        packed=own if is_packed else str(base.why_padded),
        padded=_padded(bench, both) if is_packed else own,
        materialised=max(error_of(one.logits, trained_logits(one)) for one in both),
        trains=all(_trains(one) for one in both),
    )


def refusal(family: Family) -> str:
    """What is said when a model of the family is to be a base."""
    try:
        family.base()
    except UnsupportedBase as error:
        return str(error)
    raise AssertionError(f"{family.name} was not refused")


def _has_window(config: Any) -> bool:
    names = ("sliding_window", "local_attention", "window_size")
    return any(getattr(config, name, None) for name in names)


def _together(both: Sequence[Made]) -> list[list[Array]]:
    """The logits of all rows of all adapters in one forward, adapter by adapter."""
    pairs = [(row, made.adapter) for made in both for row in made.rows]
    logits = iter(both[0].classifier.logits(pairs))
    return [[next(logits) for _ in made.rows] for made in both]


def _error(bench: Bench, made: Made, seen: Sequence[Array]) -> float:
    """The largest error against every oracle that the family has."""
    errors = [error_of(seen, [bench.expected(made, row) for row in made.rows])]
    if bench.base.is_causal:
        errors.append(error_of(seen, _stock(bench, made)))
    return max(errors)


def _stock(bench: Bench, made: Made) -> list[Array]:
    """The stock causal model: a prefix in its own cache, or a prompt in the row."""
    encoder, state, cached = made.trainable.encoder, made.adapter.state, bench.cached
    rows = made.rows
    if isinstance(encoder, SoftPromptEncoder):
        embeds = encoder.embeds().detach()
        hidden = [cached.in_the_row(row.ids, embeds) for row in rows]
    else:
        assert state.kv is not None
        hidden = [cached.after_prefix(row.ids, state.kv, state.length) for row in rows]
    return [through_head(h, row, made.adapter) for h, row in zip(hidden, rows, strict=True)]


def _padded(bench: Bench, both: Sequence[Made]) -> Measured:
    """The padded path on a family that is packed."""
    if not bench.base.is_causal:
        return NEEDS_A_CACHE
    model: Any = bench.family.model().eval()
    layers = find_layers(model, bench.base.num_layers)
    accepts = frozenset(inspect.signature(model.forward).parameters) - {"token_type_ids"}
    forward = PaddedForward(model, layers, accepts)
    rows = [
        Row(row.ids, row.type_ids, made.adapter.state, made.adapter.state.length)
        for made in both
        for row in made.rows
    ]
    with torch.no_grad():
        out = forward(rows)
    states = iter(torch.split(out.flat, list(out.lengths)))
    errors = []
    for made in both:
        seen = [
            through_head(next(states).double(), row, made.adapter).astype("float32")
            for row in made.rows
        ]
        errors.append(error_of(seen, _stock(bench, made)))
    return max(errors)


def _trains(made: Made) -> bool:
    base = made.classifier.base
    digest = base_digest(base.model, base.tokenizer.backend_tokenizer)
    reached = all(
        bool(torch.isfinite(g).all()) and bool(g.abs().max() > 0) for g in made.gradients.values()
    )
    untouched = all(p.grad is None for p in base.model.parameters())
    return math.isfinite(made.loss) and reached and untouched and digest == base.identity.digest


def _bound(error: float) -> float:
    """The power of ten that twice the error stays below; at least 1e-6, a few roundings."""
    return max(10.0 ** math.ceil(math.log10(max(2 * error, 1e-12))), 1e-6)


def without_bounds(values: Mapping[str, Any]) -> dict[str, Any]:
    """A row's values that are the same on every machine."""
    return {k: isinstance(v, float) or v for k, v in values.items()}


def merged(before: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, Any]:
    """Two records of the same rows as one, each bound the higher of both; else the newer one."""
    old, new = before.get("families", []), now["families"]
    same = [without_bounds(row) for row in old] == [without_bounds(row) for row in new]
    if not same or before["refused"] != now["refused"]:
        return dict(now)
    rows = [
        {k: max(v, a[k]) if isinstance(v, float) else v for k, v in b.items()}
        for a, b in zip(old, new, strict=True)
    ]
    versions = sorted({*before["transformers"], *now["transformers"]})
    return {**now, "transformers": versions, "families": rows}


def main(path: Path) -> None:
    """Measure all; a record that is there and says the same stays, with this version added."""
    rows = [measure(family) for family in EVERY]
    if missed := {row.name: row.misses for row in rows if row.misses}:
        raise SystemExit(f"not written: {missed}")
    now = {
        "transformers": [transformers.__version__],
        "families": [row.to_dict() for row in rows],
        "refused": {family.name: refusal(family) for family in REFUSED},
    }
    before = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    text = json.dumps(merged(before, now), indent=1, ensure_ascii=False)
    path.write_text(f"{text}\n", encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
