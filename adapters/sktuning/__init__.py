"""SK-Tuning: prompt and prefix tuning that starts from words the frozen model understands.

Names are imported on first use, so that reading a configuration does not load torch.
"""

from importlib import import_module
from typing import Any

_HOME = {
    "Adapter": "adapter",
    "AdapterConfig": "config",
    "AdapterSpec": "config",
    "BaseIdentity": "config",
    "Classifier": "classify",
    "Dataset": "data",
    "DecodeOptions": "decode",
    "Encoder": "tokens",
    "Example": "data",
    "FrozenBase": "base",
    "Head": "heads",
    "Method": "config",
    "Pooling": "config",
    "Progress": "training.progress",
    "PromptState": "state",
    "SKTuningError": "errors",
    "Start": "config",
    "Task": "config",
    "TextInput": "data",
    "TextOffset": "config",
    "TrainedAdapter": "training.progress",
    "Trainer": "training.trainer",
    "TrainingConfig": "config",
    "Transform": "config",
    "Untrained": "zero_shot",
    "ZeroShot": "zero_shot",
    "fit": "training.fit",
    "load": "artifact",
    "predict": "prediction",
    "save": "artifact",
}

__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return [*globals(), *_HOME]
