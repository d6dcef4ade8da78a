"""What docs/operations.md computes is what is there."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from making import make_adapter
from tiny_families import FAMILIES, Family

from sktuning import artifact
from sktuning.base import FrozenBase
from sktuning.config import AdapterSpec, Task, TrainingConfig
from sktuning.data import Dataset, Example, TextInput
from sktuning.header import parse_header
from sktuning.loading import find_source
from sktuning.training.fit import fit

PAGE = Path(__file__).resolve().parents[2] / "docs" / "operations.md"
_ROW = re.compile(r"^\| (\d+) virtual tokens, (\d+) labels \|(.+)\|$", re.MULTILINE)
CACHE_AS_THEY_SAY = [family for family in FAMILIES if not family.name.startswith("falcon")]

Computed = Callable[..., tuple[int, int]]


@pytest.fixture(scope="module")
def adapter_bytes() -> Computed:
    """The page's function."""
    (block,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    names: dict[str, Any] = {}
    exec(block, names)
    found: Computed = names["adapter_bytes"]
    return found


@pytest.mark.parametrize("family", CACHE_AS_THEY_SAY, ids=lambda family: family.name)
def test_an_adapter_takes_what_the_formula_says(
    family: Family, adapter_bytes: Computed, tmp_path: Path
) -> None:
    base = family.base()
    adapter = make_adapter(base)
    model: Any = family.model()
    model.config.save_pretrained(tmp_path)
    tokens, labels = adapter.state.length, len(adapter.config.labels)
    assert adapter_bytes(str(tmp_path), tokens, labels)[0] == adapter.nbytes
    in_bfloat16 = adapter.state.nbytes // 2 + adapter.head.nbytes
    assert adapter_bytes(str(tmp_path), tokens, labels, value=2)[0] == in_bfloat16


def test_a_trained_adapter_takes_that_much_of_the_store(
    tiny_bert: FrozenBase, tiny_bert_folder: Path, adapter_bytes: Computed, tmp_path: Path
) -> None:
    words = {"good": "great", "bad": "awful"}
    rows = [Example(TextInput(f"{w} {i}"), label) for i in range(8) for label, w in words.items()]
    dataset = Dataset(Task.SINGLE_LABEL, ("bad", "good"), tuple(rows), tuple(rows[:4]))
    trained = fit(tiny_bert, dataset, AdapterSpec(training=TrainingConfig(epochs=1)))
    artifact.save(tmp_path / "it", trained)
    tensors = sum(
        entry.end - entry.start
        for file in (tmp_path / "it").glob("*.safetensors")
        for entry in parse_header(file.read_bytes(), file.name).values()
    )
    memory, store = adapter_bytes(str(tiny_bert_folder), trained.adapter.state.length, 2)
    assert (trained.adapter.nbytes, tensors) == (memory, store)
    others = [f for f in (tmp_path / "it").iterdir() if f.suffix != ".safetensors"]
    assert sum(file.stat().st_size for file in others) < 8192


def test_the_table_is_the_default_bases(adapter_bytes: Computed) -> None:
    base = find_source(None).location
    rows = _ROW.findall(PAGE.read_text())
    assert len(rows) == 3
    for tokens, labels, figures in rows:
        asked = (base, int(tokens), int(labels))
        small, (large, store) = adapter_bytes(*asked, value=2)[0], adapter_bytes(*asked)
        listed = [int(figure.replace(",", "")) for figure in figures.split("|")]
        assert listed == [small, large, store]
