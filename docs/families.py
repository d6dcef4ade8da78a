"""The page of base families, from what was measured of each (`make bases` writes bases.json)."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from page import page, table

RECORD = Path(__file__).parent / "bases.json"
HEAD = (
    "family", "model type", "path", "SK-prefix", "SK-prompt",
    "padded path", "text begins",
    "exact to", "one step", "notes",
)  # fmt: skip
NAMES = {
    "bert": "BERT", "roberta": "RoBERTa", "distilbert": "DistilBERT", "modernbert": "ModernBERT",
    "xlm-roberta": "XLM-RoBERTa", "camembert": "CamemBERT", "electra": "ELECTRA",
    "ernie": "ERNIE", "eurobert": "EuroBERT", "gpt2": "GPT-2", "gpt_bigcode": "GPT-BigCode",
    "gpt_neo": "GPT-Neo", "gpt_neox": "GPT-NeoX", "gptj": "GPT-J", "opt": "OPT", "bloom": "BLOOM",
    "mpt": "MPT", "biogpt": "BioGPT", "qwen2": "Qwen2", "qwen3": "Qwen3", "phi3": "Phi-3",
    "gemma2": "Gemma 2", "gemma3_text": "Gemma 3", "smollm3": "SmolLM3", "olmo2": "OLMo 2",
    "stablelm": "StableLM", "starcoder2": "StarCoder2",
}  # fmt: skip
INTRO = """\
Adapters work on the families below, each as transformers has it. Every row was measured on a tiny
seeded model of the family, by the same code that the tests run for every family
(`tests/conformance.py`); the whole contract of all tasks, methods and poolings runs for the twelve
most different ones besides. Measured with transformers {versions}."""
MEANING = """\
- **Path**: *packed* is one row of all texts without padding, with our attention function in the
  stock model. *Padded* is for causal families that do not let their attention be replaced.
- **SK-prefix** and **SK-prompt**: texts of very different lengths for adapters of both methods,
  mixed in one batch, get what an oracle gives that reads one text at a time in float64 and shares
  no code with the path. On causal families the untouched stock model must give the same as well:
  the prefix in its own key/value cache, the prompt in the row.
- **Padded path**: the same batch there. No encoder has it: a prefix is read from a causal model's
  key/value cache.
- **Text begins**: where the first token of a text stands. Families with absolute positions that
  read both ways share them between prompt and text; in the others the text comes after the prompt.
- **Exact to**: the power of ten, as a share of the largest logit, that no error is above in
  float32: of all columns before, and of the materialised state, which is served, against the
  trainable that made it.
- **One step**: after a step of training the loss is finite, everything that is trained got a
  gradient, and the base is the same to the last bit.
- **Window**: some layers look no further than a number of tokens, so that the later part of a text
  longer than that does not see the prompt there, as in the stock model's own cache."""
BRING = """\
## Your own base

`skhost up --base SOURCE`, `SKHOST_BASE=SOURCE`, or in a notebook
`sktuning.FrozenBase.load(SOURCE)`. A source is

- a **folder** as `save_pretrained` writes it: `config.json`, weights as safetensors, and a
  `tokenizer.json`;
- a **GGUF file** of an architecture that transformers reads; it is dequantised when loaded. It
  needs the extra `gguf`: `pip install 'skhost[gguf]'`;
- the **id** of a model on the Hugging Face hub, which is downloaded once;
- nothing at all: all-MiniLM-L6-v2, which is installed with the package.

A model in memory is one, too: `FrozenBase.from_model(model, tokenizer, "name")`, with a model as
`AutoModel` makes it, without a head. Code that comes with a model is never run, and a base needs a
fast tokenizer.

No family is taken on trust. When a base is loaded, the path is run on these very weights and
compared with the stock model, row by row; more than 1e-3 of the scale off, and it is not taken. So
a family that is not listed may work as well (sliding windows, grouped heads, soft caps and rotary,
learned and ALiBi positions are all known), and you are told at once whether it does.
`FrozenBase.path` says which path it got, and `why_padded` why it is not packed."""


def families() -> str:
    """Every family with what it can do, and what the others are told."""
    record = json.loads(RECORD.read_text(encoding="utf-8"))
    rows = sorted(record["families"], key=lambda row: (row["is_causal"], _name(row).lower()))
    encoders = [row for row in rows if not row["is_causal"]]
    causal = [row for row in rows if row["is_causal"]]
    return page(
        "Base models",
        INTRO.format(versions=_listed(record["transformers"])),
        f"## Encoders\n\n{table(HEAD, map(_cells, encoders))}",
        f"## Causal models\n\n{table(HEAD, map(_cells, causal))}",
        MEANING,
        f"## Why some are not packed\n\n{_reasons(causal)}",
        BRING,
        f"## What is refused\n\n{_refused(record['refused'])}",
    )


def _cells(row: Mapping[str, Any]) -> Sequence[str]:
    errors = [value for value in row.values() if isinstance(value, float)]
    return (
        _name(row),
        f"`{row['model_type']}`",
        row["path"],
        _yes(row["prefix"]),
        _yes(row["prompt"]),
        _yes(row["padded"]),
        row["text_begins"],
        f"{max(errors):.0e}".replace("e-0", "e-"),
        "yes" if row["trains"] else "no",
        ", ".join(_notes(row)),
    )


def _yes(value: object) -> str:
    return "yes" if isinstance(value, float) else "none"


def _notes(row: Mapping[str, Any]) -> Iterator[str]:
    if row["has_window"]:
        yield "window"
    if row["path"] == "padded":
        yield "slower: not packed"


def _name(row: Mapping[str, Any]) -> str:
    name = str(row["name"])
    return NAMES.get(name, name.capitalize())


def _reasons(rows: Sequence[Mapping[str, Any]]) -> str:
    """Why each of the padded families has no packed path, in the words of `why_padded`."""
    lines = [f"- {_name(row)}: {row['packed']}" for row in rows if row["path"] == "padded"]
    return "\n".join(
        (
            "A packed row needs every layer to call our attention once, and to hand on what the\n"
            "forward passed in. Asked for `why_padded`, these bases say:\n",
            *lines,
        )
    )


def _refused(said: Mapping[str, str]) -> str:
    names = "\n".join(f"- `{name}`: {_without_subject(text)}" for name, text in said.items())
    return (
        "`UnsupportedBase` is raised before anything is trained or served, with the family and\n"
        f"the reason. Some of them, and what is said of each:\n\n{names}"
    )


def _without_subject(text: str) -> str:
    return re.sub(r"^\S+ (?=cannot be a base)", "", text)


def _listed(names: Sequence[str]) -> str:
    *rest, last = names
    return f"{', '.join(rest)} and {last}" if rest else last
