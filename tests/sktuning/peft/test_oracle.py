"""An imported checkpoint answers as PEFT does, one row at a time."""

from pathlib import Path

import numpy as np
import peft_checkpoints as checkpoints
import pytest
import torch
from safetensors.torch import load_file, save_file

from sktuning import artifact, peft
from sktuning.adapter import Adapter
from sktuning.classify import Classifier
from sktuning.config import Task
from sktuning.data import TextInput
from sktuning.peft import ImportOptions
from sktuning.tokens import EncodedRow

TOLERANCE = 1e-4  # of the logits' scale
TEXTS = ("good", "the text is not very bad", "a great text was awful, very awful " * 3)
ENCODERS = ("bert", "roberta", "electra")
CAUSAL = ("gpt2", "llama", "mistral", "phi", "opt", "bloom")
PROMPTS = ("prompt", "p-mlp", "p-lstm")
PREFIXES = ("prefix", "prefix-mlp")
COMBINATIONS = [
    *((family, kind) for family in (*ENCODERS, *CAUSAL) for kind in (*PREFIXES, *PROMPTS)),
    *((family, kind) for family in ("distilbert", "falcon") for kind in PROMPTS),
    *((family, kind) for family in ("xlm-roberta", "qwen3") for kind in ("prefix", "prompt")),
]
AS_IT_IS = ImportOptions()
WITHOUT_TOKENS = {"opt"}  # transformers has no such classifier


def answers(classifier: Classifier, adapter: Adapter, inputs: list[TextInput]) -> list[np.ndarray]:
    """Of one batch."""
    rows = classifier.encoder.encode(inputs, adapter.config)
    known = [row for row in rows if isinstance(row, EncodedRow)]
    assert len(known) == len(rows)
    return classifier.logits([(row, adapter) for row in known])


def error(seen: np.ndarray, wanted: torch.Tensor) -> float:
    """The largest difference over the largest logit."""
    assert seen.shape == tuple(wanted.shape)
    return float(np.abs(seen - wanted.numpy()).max() / wanted.abs().max())


@pytest.mark.parametrize(("family", "kind"), COMBINATIONS)
def test_texts_get_the_logits_that_peft_gives(family: str, kind: str, tmp_path: Path) -> None:
    stock = checkpoints.stock(family)
    model = stock.tuned(kind)
    adapter = peft.load(checkpoints.save(model, tmp_path), stock.base)
    seen = answers(Classifier(stock.base), adapter, [TextInput(text) for text in TEXTS])
    for text, logits in zip(TEXTS, seen, strict=True):
        assert error(logits, stock.logits(model, text)) <= TOLERANCE
    assert adapter.config.task is Task.SINGLE_LABEL
    assert adapter.config.labels == ("LABEL_0", "LABEL_1", "LABEL_2")


@pytest.mark.parametrize(
    ("family", "kind"), [pair for pair in COMBINATIONS if pair[0] not in WITHOUT_TOKENS]
)
def test_words_get_the_logits_of_their_first_tokens(family: str, kind: str, tmp_path: Path) -> None:
    stock = checkpoints.stock(family, "TOKEN_CLS")
    model = stock.tuned(kind)
    options = ImportOptions(labels=("O", "B-thing", "I-thing"))
    adapter = peft.load(checkpoints.save(model, tmp_path), stock.base, options)
    classifier = Classifier(stock.base)
    seen = answers(classifier, adapter, [TextInput(text) for text in TEXTS])
    rows = classifier.encoder.encode([TextInput(text) for text in TEXTS], adapter.config)
    for text, logits, row in zip(TEXTS, seen, rows, strict=True):
        assert isinstance(row, EncodedRow)
        assert row.word_index is not None
        assert error(logits, stock.logits(model, text)[list(row.word_index)]) <= TOLERANCE


@pytest.mark.parametrize("family", ["bert", "llama"])
def test_pairs_are_read_with_the_tokenizers_own_template(family: str, tmp_path: Path) -> None:
    stock = checkpoints.stock(family)
    model = stock.tuned("prompt")
    options = ImportOptions(is_pair=True)
    adapter = peft.load(checkpoints.save(model, tmp_path), stock.base, options)
    pair = TextInput("a good text", "not bad")
    seen = answers(Classifier(stock.base), adapter, [pair])[0]
    assert error(seen, stock.logits(model, pair.text, pair.text_pair)) <= TOLERANCE


@pytest.mark.parametrize("kind", ["prefix", "prompt"])
@pytest.mark.parametrize("family", ["bert", "roberta", "llama"])
def test_one_output_is_a_number(family: str, kind: str, tmp_path: Path) -> None:
    stock = checkpoints.stock(family, num_labels=1)
    model = stock.tuned(kind)
    adapter = peft.load(checkpoints.save(model, tmp_path), stock.base)
    assert adapter.config.task is Task.REGRESSION
    seen = answers(Classifier(stock.base), adapter, [TextInput(TEXTS[1])])[0]
    assert error(seen, stock.logits(model, TEXTS[1])) <= TOLERANCE


@pytest.mark.parametrize(
    ("family", "kind"),
    [("bert", "prefix"), ("bert", "prompt"), ("distilbert", "prompt"), ("gpt2", "prefix")],
)
def test_the_artifact_of_an_import_tests_itself_and_answers_the_same(
    family: str, kind: str, tmp_path: Path
) -> None:
    stock = checkpoints.stock(family)
    folder = checkpoints.save(stock.tuned(kind), tmp_path / "peft")
    classifier = Classifier(stock.base)
    options = ImportOptions(labels=("a", "b", "c"))
    digest = peft.convert(peft.read(folder), classifier, options).save(tmp_path / "own")
    assert artifact.verify(tmp_path / "own") == digest
    loaded = artifact.load(tmp_path / "own")
    artifact.self_test(tmp_path / "own", loaded, classifier)
    inputs = [TextInput(text) for text in TEXTS]
    direct = answers(classifier, peft.load(folder, stock.base, options), inputs)
    for one, other in zip(answers(classifier, loaded, inputs), direct, strict=True):
        np.testing.assert_array_equal(one, other)
    assert "Imported from a PEFT checkpoint" in (tmp_path / "own" / "README.md").read_text()
    again = peft.convert(peft.read(folder), classifier, options).save(tmp_path / "again")
    assert again == digest


@pytest.mark.parametrize("kind", ["prefix", "prompt"])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_checkpoints_in_half_precision_stay_small(
    kind: str, dtype: torch.dtype, tmp_path: Path
) -> None:
    stock = checkpoints.stock("bert")
    folder = checkpoints.save(stock.tuned(kind), tmp_path / "peft")
    path = folder / "adapter_model.safetensors"
    save_file({name: t.to(dtype) for name, t in load_file(path).items()}, path)
    classifier = Classifier(stock.base)
    made = peft.convert(peft.read(folder), classifier, AS_IT_IS)
    made.save(tmp_path / "own")
    loaded = artifact.load(tmp_path / "own")
    assert loaded.state.tensor.dtype == dtype
    assert loaded.head.weight.dtype == torch.float32
    served = loaded.to("cpu", torch.float32)
    artifact.self_test(tmp_path / "own", served, classifier)
    wanted = stock.logits(stock.reloaded(folder), TEXTS[1])
    seen = answers(classifier, served, [TextInput(TEXTS[1])])[0]
    assert error(seen, wanted) <= TOLERANCE


@pytest.mark.parametrize("kind", ["prefix", "prompt"])
@pytest.mark.parametrize("family", ["bert", "gpt2"])
def test_a_base_in_bfloat16_imports_too(family: str, kind: str, tmp_path: Path) -> None:
    stock = checkpoints.stock(family)
    model = stock.tuned(kind)
    base = stock.base.converted(torch.bfloat16)
    made = peft.convert(peft.read(checkpoints.save(model, tmp_path)), Classifier(base), AS_IT_IS)
    assert made.adapter.state.tensor.dtype == torch.float32
    assert made.golden.dtype == "bfloat16"
    served = made.adapter.to("cpu", torch.bfloat16)
    seen = answers(Classifier(base), served, [TextInput(TEXTS[1])])[0]
    assert error(seen, stock.logits(model, TEXTS[1])) <= 5e-2
