"""What a PEFT checkpoint does not say of itself, and whoever imports it may."""

from dataclasses import dataclass

from sktuning.config import Task


@dataclass(frozen=True, slots=True)
class ImportOptions:
    """What is known beside the checkpoint.

    Attributes:
        labels: in the order of the head's outputs; empty: the base's ``id2label`` where its number
            fits, else LABEL_0, LABEL_1 and so on.
        task: None: token classification as declared, regression with one output, else single-label.
        is_pair: it was trained on pairs of texts.
    """

    labels: tuple[str, ...] = ()
    task: Task | None = None
    is_pair: bool = False
