"""What a PEFT checkpoint says of itself in its ``adapter_config.json``; no tensors."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Self

from sktuning import document
from sktuning.config import MAX_VIRTUAL_TOKENS
from sktuning.errors import PeftRefused
from sktuning.manifest import CONFIG, MODEL

MAX_NAME_CHARS = 4096
PICKLED = frozenset({"adapter_model.bin", "adapter_model.pt", "adapter_model.pth"})
PICKLED_REASON = (
    f"the weights are pickled, and reading a pickle can run any code: load the checkpoint with "
    f"PEFT, save_pretrained(…, safe_serialization=True), and send its {MODEL}"
)


class Kind(StrEnum):
    """The prompt methods of PEFT whose result is a prompt state; PEFT's own names."""

    PREFIX = "PREFIX_TUNING"
    PROMPT = "PROMPT_TUNING"
    P_TUNING = "P_TUNING"


class PeftTask(StrEnum):
    """The tasks of PEFT that classify; PEFT's own names."""

    SEQUENCE = "SEQ_CLS"
    TOKENS = "TOKEN_CLS"


_WHY_NOT_KIND: Mapping[str, str] = {
    "MULTITASK_PROMPT_TUNING": "its prompt is another one for every task id",
    "ADAPTION_PROMPT": "its layers weigh the prompt by gates of their own",
    "CARTRIDGE": "it is a compressed text for generation, not a classifier",
    "CPT": "its prompt is made for generation from labelled examples",
}
_CHANGES_THE_BASE = (
    "it changes what the base's layers compute, and here one unchanged base serves all adapters"
)
_WHY_NOT_TASK: Mapping[str, str] = {
    "CAUSAL_LM": "it generates text",
    "SEQ_2_SEQ_LM": "it generates text with an encoder-decoder model",
    "QUESTION_ANS": "it finds spans of text",
    "FEATURE_EXTRACTION": "it has no head",
}


@dataclass(frozen=True, slots=True)
class Declaration:
    """The few facts that decide what the tensors mean.

    Attributes:
        base_name: the base that PEFT was given; for people, it proves nothing.
    """

    kind: Kind
    task: PeftTask
    num_virtual_tokens: int
    base_name: str = ""

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """The declaration in the content of ``adapter_config.json``.

        Raises:
            PeftRefused: a checkpoint that cannot become an adapter; says why.
            ArtifactCorrupt: it is not usable JSON.
        """
        values = document.parse(data, CONFIG)
        kind, task = _kind(values.get("peft_type")), _task(values.get("task_type"))
        if values.get("num_transformer_submodules") not in (None, 1):
            raise PeftRefused("encoder-decoder models are not supported; encoders and decoders are")
        base_name = values.get("base_model_name_or_path") or ""
        if not isinstance(base_name, str) or len(base_name) > MAX_NAME_CHARS:
            raise PeftRefused(f"base_model_name_or_path is {base_name!r:.200}")
        return cls(kind, task, _num_virtual_tokens(values), base_name)


def is_declared(data: bytes) -> bool:
    """Whether an ``adapter_config.json`` is PEFT's.

    Raises:
        ArtifactCorrupt: it is not usable JSON.
    """
    return "peft_type" in document.parse(data, CONFIG)


def _kind(value: Any) -> Kind:
    name = value if isinstance(value, str) else ""
    if name in {*Kind}:
        return Kind(name)
    why = _WHY_NOT_KIND.get(name, _CHANGES_THE_BASE) if name else "it names no type"
    raise PeftRefused(
        f"a PEFT checkpoint of type {value!r:.60} cannot be imported: {why}; "
        f"{', '.join(Kind)} can be"
    )


def _task(value: Any) -> PeftTask:
    name = value if isinstance(value, str) else ""
    if name in {*PeftTask}:
        return PeftTask(name)
    why = _WHY_NOT_TASK.get(name, "it is not one of those that classify")
    raise PeftRefused(
        f"a PEFT checkpoint for the task {value!r:.60} cannot be imported: {why}; "
        f"{' and '.join(PeftTask)} can be"
    )


def _num_virtual_tokens(values: Mapping[str, Any]) -> int:
    number = values.get("num_virtual_tokens")
    if type(number) is not int or not 1 <= number <= MAX_VIRTUAL_TOKENS:
        raise PeftRefused(
            f"num_virtual_tokens is {number!r:.60}; 1 to {MAX_VIRTUAL_TOKENS} are possible"
        )
    return number
