"""The page on the library, run from its first block to its last."""

import contextlib
import io
import re
from pathlib import Path
from typing import Any

import bases
import pytest

import sktuning
from sktuning import artifact

ROOT = Path(__file__).resolve().parents[2]
NUM_ROWS = 32  # of each sample file, and two epochs: enough to see that it works

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def page() -> str:
    """As it is read."""
    return (ROOT / "docs" / "library.md").read_text(encoding="utf-8")


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with short sample data, and a model of one's own."""
    (tmp_path / "examples").mkdir()
    for name in ("feedback.jsonl", "pairs.tsv"):
        lines = (ROOT / "examples" / name).read_text(encoding="utf-8").splitlines()
        text = "\n".join(lines[: NUM_ROWS + 1])
        (tmp_path / "examples" / name).write_text(text, encoding="utf-8")
    tokenizer = bases.byte_tokenizer()
    model: Any = bases.tiny_model(bases.tiny_gpt2_config(len(tokenizer)))
    model.save_pretrained(tmp_path / "my-model")
    tokenizer.save_pretrained(tmp_path / "my-model")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_every_block_of_the_library_page_runs(page: str, workplace: Path) -> None:
    said = io.StringIO()
    names: dict[str, Any] = {}
    with contextlib.redirect_stdout(said):
        for number, code in enumerate(_blocks(page)):
            exec(compile(_quick(code), f"library.md, block {number}", "exec"), names)

    assert [set(answer) for answer in names["answers"]] == [{"label", "score", "scores"}] * 2
    assert [next(iter(answer)) for answer in names["mixed"]] == [
        "label",
        "labels",
        "value",
        "label",
    ]
    assert set(names["metrics"]) >= {"accuracy", "macro_f1"}
    assert list(names["unsure"][0]["scores"]) == [names["unsure"][0]["label"]]
    assert [one.shape for one in names["logits"]] == [(3,), (3,)]
    assert "the adapter was trained on all-MiniLM-L6-v2" in said.getvalue()
    assert artifact.verify(workplace / "sentiment") == artifact.digest_of(workplace / "sentiment")
    assert names["again"].config.labels == ("B-person", "B-place", "O")


def test_the_first_block_is_ten_lines_of_the_library_beside_its_imports(page: str) -> None:
    lines = [line for line in _blocks(page)[0].splitlines() if line and "import" not in line]
    assert len(lines) <= 10


def test_the_names_that_the_page_uses_are_exported(page: str) -> None:
    used = set(re.findall(r"\bsktuning\.([A-Za-z]\w*)", "\n".join(_blocks(page))))
    assert used - {"evaluate"} <= set(sktuning.__all__)  # which is a module


def test_every_block_of_the_page_is_one_that_runs(page: str) -> None:
    fences = re.findall(r"^```(.*)$", page, re.MULTILINE)
    assert set(fences[::2]) == {"python"}


def _blocks(page: str) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)


def _quick(code: str) -> str:
    """The same with two epochs wherever nothing was chosen."""
    spec = "sktuning.AdapterSpec(training=sktuning.TrainingConfig(epochs=2))"
    data = r"(?:\w+|sktuning\.Dataset\.of\(\w+\))"
    return re.sub(rf"(sktuning\.fit\(\w+, {data})\)", rf"\1, {spec})", code)
