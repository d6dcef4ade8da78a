"""PEFT's prefix tuning: one adapter is active at a time, for all of a batch."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

from peft import PrefixTuningConfig, TaskType, get_peft_model

from serving_rungs.fleet import name_of
from serving_rungs.peers.stock import WINDOW, Place, encoded
from serving_rungs.population import VIRTUAL_TOKENS
from serving_rungs.turns import Contender

SWITCHING, GROUPED = "PEFT, switching", "PEFT, grouped by adapter"


def contenders(place: Place) -> Iterator[Contender]:
    """Switched for every text, and for every group of a window's texts."""
    model, tokenizer = adapted(place, place.work.adapters), place.tokenizer()

    def switch(texts: Sequence[str], wanted: Sequence[int]) -> None:
        model.set_adapter(name_of(wanted[0]))
        model(**encoded(tokenizer, texts))

    def group(texts: Sequence[str], wanted: Sequence[int]) -> None:
        groups = defaultdict(list)
        for text, number in zip(texts, wanted, strict=True):
            groups[number].append(text)
        for number, own in groups.items():
            switch(own, [number])

    yield place.contender(SWITCHING, switch, rows=1)
    yield place.contender(GROUPED, group, rows=WINDOW)


def adapted(place: Place, count: int) -> Any:
    """The model with so many adapters."""
    config = PrefixTuningConfig(
        task_type=TaskType.SEQ_CLS, num_virtual_tokens=VIRTUAL_TOKENS, inference_mode=True
    )
    model = get_peft_model(place.model(), config, adapter_name=name_of(0))
    for number in range(1, count):
        model.add_adapter(name_of(number), config)
    return model.to(model.base_model.dtype).eval()
