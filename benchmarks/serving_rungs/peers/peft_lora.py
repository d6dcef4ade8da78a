"""PEFT's batches of mixed LoRA adapters (`adapter_names`), the only ones that PEFT mixes."""

from collections.abc import Iterator, Sequence

from peft import LoraConfig, TaskType, get_peft_model

from serving_rungs.fleet import name_of
from serving_rungs.peers.stock import WINDOW, Place, encoded
from serving_rungs.turns import Contender

MIXED = "PEFT, mixed LoRA batch"
RANK = 8


def contenders(place: Place) -> Iterator[Contender]:
    """A window's texts in one forward."""
    config = LoraConfig(task_type=TaskType.SEQ_CLS, r=RANK, inference_mode=True)
    model = get_peft_model(place.model(), config, adapter_name=name_of(0))
    for number in range(1, place.work.adapters):
        model.add_adapter(name_of(number), config)
    model, tokenizer = model.to(model.base_model.dtype).eval(), place.tokenizer()

    def serve(texts: Sequence[str], wanted: Sequence[int]) -> None:
        names = [name_of(number) for number in wanted]
        model(**encoded(tokenizer, texts), adapter_names=names)

    yield place.contender(MIXED, serve, rows=WINDOW)
