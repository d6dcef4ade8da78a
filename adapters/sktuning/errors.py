"""Every error the library raises on purpose.

SKTuningError
├── ConfigError          a setting that cannot work, found at construction
├── BaseError
│   ├── BaseLoadError    the base cannot be read
│   ├── UnsupportedBase  the family can be neither packed nor padded
│   └── BaseMismatch     the adapter was trained on another base
├── ArtifactError        an artifact that is broken, hostile or of another format
│   ├── ArtifactCorrupt  a digest, shape or dtype is not what the artifact says
│   ├── PeftRefused      a PEFT checkpoint that cannot become an adapter, or the reverse
│   └── SelfTestFailed   the golden inputs no longer get the answers they got
├── DataError            training rows that cannot be learned from
├── InputError           one text that cannot be classified
│   └── InputTooLong     beyond the length limit, and truncation was refused
└── TrainingCancelled    the caller asked to stop
"""


class SKTuningError(Exception):
    """Base of all errors of this library."""


class ConfigError(SKTuningError, ValueError):
    """A setting that cannot work."""


class BaseError(SKTuningError):
    """Something about the frozen base model."""


class BaseLoadError(BaseError):
    """The base model cannot be read from where it was said to be."""


class UnsupportedBase(BaseError):
    """This model family can be neither packed nor padded."""


class BaseMismatch(BaseError):
    """The adapter was trained on another base model."""


class ArtifactError(SKTuningError):
    """An artifact that cannot be used."""


class ArtifactCorrupt(ArtifactError):
    """The artifact's content is not what its own records say."""


class PeftRefused(ArtifactError):
    """A PEFT checkpoint that cannot become an adapter, or an adapter that cannot become one."""


class SelfTestFailed(ArtifactError):
    """The artifact does not answer its golden inputs as it did when it was saved."""


class DataError(SKTuningError, ValueError):
    """Training rows that cannot be learned from."""


class InputError(SKTuningError, ValueError):
    """One input that cannot be classified."""


class InputTooLong(InputError):
    """The input has more tokens than the limit, and truncation was refused."""


class TrainingCancelled(SKTuningError):
    """The caller asked the training to stop."""
