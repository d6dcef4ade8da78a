"""The model card: what people should know of an adapter, as Markdown with a YAML header."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sktuning.adapter import Adapter
from sktuning.config import AdapterConfig, Task
from sktuning.training.progress import TrainedAdapter

MAX_CONFUSION_LABELS = 20
MAX_LISTED_LABELS = 200
_SPECIAL = re.compile(r"([\\`*_{}\[\]()#+.!|~$^=:-])")
_HTML = {ord("&"): "&amp;", ord("<"): "&lt;", ord(">"): "&gt;"}
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff\ufffe\uffff]+")
_MAX_CHARS = 200  # of any one name
_UNTRAINED = (
    "Made from the names and descriptions of its labels alone, without any data. Nothing was "
    "trained and nothing was measured: there are no metrics, and its probabilities are a guess. "
    "Train the name on labelled texts as soon as there are some."
)


def render(trained: TrainedAdapter) -> str:
    """The card as Markdown; names that came with the data are escaped."""
    sections = (
        _front_matter(trained.adapter.config, ("sk-tuning", trained.adapter.config.method)),
        _summary(trained.adapter, "SK-Tuning adapter"),
        _data(trained),
        _results(trained),
        _confusion(trained.metrics),
        _training(trained),
        _usage(trained.adapter.config),
    )
    return "\n\n".join(section for section in sections if section) + "\n"


def render_imported(adapter: Adapter, origin: Sequence[tuple[str, str]]) -> str:
    """The card of an adapter that was trained elsewhere; `origin` says where, by name and value."""
    rows = [(name, escape(value)) for name, value in origin]
    sections = (
        _front_matter(adapter.config, ("prompt-tuning", "peft")),
        _summary(adapter, "Prompt-tuned adapter"),
        f"## Origin\n\nImported from a PEFT checkpoint.\n\n{_table(('', ''), rows)}",
        _usage(adapter.config),
    )
    return "\n\n".join(sections) + "\n"


def render_untrained(adapter: Adapter, descriptions: Mapping[str, Sequence[str]]) -> str:
    """The card of an adapter made from label names; `descriptions` by label, for some of them."""
    labels = adapter.config.labels
    rows = [
        (escape(label), "; ".join(map(escape, descriptions.get(label, ()))))
        for label in labels[:MAX_LISTED_LABELS]
    ]
    sections = (
        _front_matter(adapter.config, ("sk-tuning", "zero-shot")),
        _summary(adapter, "Zero-shot adapter"),
        f"## Origin\n\n{_UNTRAINED}\n\n{_table(('label', 'described as'), rows)}"
        f"{_rest(len(labels))}",
        _usage(adapter.config),
    )
    return "\n\n".join(sections) + "\n"


def escape(text: str) -> str:
    """Text that Markdown and HTML show as it is, on one line."""
    return _SPECIAL.sub(r"\\\1", _one_line(text)).translate(_HTML)


def quoted(text: str) -> str:
    """A YAML string; JSON's are a subset once control characters are gone."""
    return json.dumps(_one_line(text), ensure_ascii=False)


def _front_matter(config: AdapterConfig, tags: Sequence[str]) -> str:
    is_tokens = config.task is Task.TOKENS
    lines = [
        "---",
        "library_name: sktuning",
        f"base_model: {quoted(config.base.name)}",
        f"pipeline_tag: {'token' if is_tokens else 'text'}-classification",
        "license: unknown",
        f"tags: [{', '.join((*tags, config.task))}]",
        "---",
    ]
    return "\n".join(lines)


def _summary(adapter: Adapter, kind: str) -> str:
    config = adapter.config
    inputs = "pairs of texts" if config.is_pair else "texts"
    rows = [
        ("base", f"{escape(config.base.name)}, {escape(config.base.digest)}"),
        ("task", f"{config.task}, {inputs}"),
        ("method", f"{config.method}, {config.transform}, {config.start} start"),
        ("prompt", f"{escape(config.prompt_text)} ({config.num_virtual_tokens} virtual tokens)"),
        ("labels", str(len(config.labels)) if config.labels else "none: the answer is a number"),
        ("size", f"{adapter.nbytes:,} bytes served"),
    ]
    title = f"# {kind} for {config.task}"
    text = "The base model is frozen and shared; this adapter is the prompt and head put to it."
    return f"{title}\n\n{text}\n\n{_table(('', ''), rows)}"


def _data(trained: TrainedAdapter) -> str:
    numbers = {
        "training": trained.num_train,
        "held out": trained.num_held_out,
        "cut to the length limit": trained.num_truncated,
    }
    split = _table(("rows", "number"), [(name, f"{n:,}") for name, n in numbers.items()])
    if not trained.label_counts:
        return f"## Data\n\n{split}"
    total = sum(trained.label_counts.values()) or 1
    counts = sorted(trained.label_counts.items(), key=lambda item: (-item[1], item[0]))
    weights = trained.class_weights
    rows = [
        (escape(n), f"{c:,}", f"{c / total:.1%}", *([f"{weights[n]:.2f}"] if weights else []))
        for n, c in counts[:MAX_LISTED_LABELS]
    ]
    head = ("label", "in training", "share", *(["weight in the loss"] if weights else []))
    labels = _table(head, rows)
    return f"## Data\n\n{split}\n\n{labels}{_rest(len(counts))}"


def _results(trained: TrainedAdapter) -> str:
    plain = {n: v for n, v in trained.metrics.items() if isinstance(v, int | float)}
    numbers = [(name, _number(value)) for name, value in plain.items()]
    text = f"## Results\n\nOn the held-out rows; versions are compared by {trained.main_metric}."
    text = f"{text}\n\n{_table(('metric', 'value'), numbers)}"
    report = trained.metrics.get("per_label")
    if not report:
        return text
    rows = [
        (escape(name), *(_number(values[key]) for key in ("precision", "recall", "f1", "support")))
        for name, values in list(report.items())[:MAX_LISTED_LABELS]
    ]
    per_label = _table(("label", "precision", "recall", "F1", "support"), rows)
    return f"{text}\n\n{per_label}{_rest(len(report))}"


def _confusion(metrics: Mapping[str, Any]) -> str:
    confusion = metrics.get("confusion")
    if not confusion or len(confusion["labels"]) > MAX_CONFUSION_LABELS:
        return ""
    names = [escape(label) for label in confusion["labels"]]
    rows = [(name, *map(str, row)) for name, row in zip(names, confusion["matrix"], strict=True)]
    return f"### Confusion\n\n{_table(('is ↓ answered →', *names), rows)}"


def _training(trained: TrainedAdapter) -> str:
    chosen = trained.training.to_dict()
    rows = [
        ("trainable parameters", f"{trained.num_trainable:,}"),
        ("steps", f"{trained.num_steps:,}"),
        ("kept: after step", f"{trained.kept_step:,}"),
        ("seconds", f"{trained.seconds:.1f}"),
        *((name.replace("_", " "), str(value)) for name, value in chosen.items()),
    ]
    return f"## Training\n\n{_table(('', ''), rows)}"


def _usage(config: AdapterConfig) -> str:
    body = json.dumps(_sample(config))
    lines = (
        "## Use",
        "With a skhost service on the same base, where `NAME` is what the adapter is called:",
        "```sh\ncurl -s 'http://127.0.0.1:8080/classify?adapter=NAME' \\\n"
        f"  -H 'content-type: application/json' -d '{body}'\n```",
    )
    return "\n\n".join(lines)


def _sample(config: AdapterConfig) -> dict[str, Any]:
    if config.is_pair:
        return {"pairs": [["A man is playing a flute.", "Somebody makes music."]]}
    if config.task is Task.TOKENS:
        return {"tokens": [["Ada", "Lovelace", "was", "born", "in", "London"]]}
    return {"text": "This is the text to classify."}


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return "\n".join(_lines(head, rows))


def _lines(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield f"|{' --- |' * len(head)}"
    for row in rows:
        yield f"| {' | '.join(row)} |"


def _rest(total: int) -> str:
    hidden = total - MAX_LISTED_LABELS
    return f"\n\n… and {hidden:,} more." if hidden > 0 else ""


def _number(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:.4f}"


def _one_line(text: str) -> str:
    short = text if len(text) <= _MAX_CHARS else text[: _MAX_CHARS - 1] + "…"
    return _CONTROL.sub(" ", short).strip()
