"""What an adapter is and how it is trained: values only, checked at construction."""

from dataclasses import asdict, dataclass, field, fields, replace
from enum import StrEnum
from typing import Any, Self

from sktuning.errors import ConfigError

FORMAT = 1  # of adapter_config.json; raised when an older reader would misread it
MAX_VIRTUAL_TOKENS = 256
MAX_LABELS = 10_000
# of a training whose epochs nobody chose
MIN_STEPS, MIN_STEPS_A_LABEL = 600, 20
MIN_EPOCHS, MAX_EPOCHS = 3, 20
FEW_STEPS, FEW_EPOCHS = 180, 60  # for rows so few that the most epochs are hardly any steps
# of single-label rows so few, in all or of each label, that prototypes help
PROTOTYPE_ROWS, PROTOTYPE_ROWS_A_LABEL, PROTOTYPE_STEPS = 256, 32, 60
PATIENCE, DECISIVE_ROWS = 6, 30  # fewer held-out rows cannot tell which moment is the best


class Task(StrEnum):
    """What the head answers."""

    SINGLE_LABEL = "single-label"
    MULTI_LABEL = "multi-label"
    REGRESSION = "regression"
    TOKENS = "tokens"


class Method(StrEnum):
    """Where the semantic prompt enters the frozen base (arXiv:2410.08598, section 3)."""

    SK_PREFIX = "sk-prefix"  # keys and values before every layer's own
    SK_PROMPT = "sk-prompt"  # input embeddings before the text's own


class Transform(StrEnum):
    """The trainable map from the semantic state to the prompt."""

    LOW_RANK = "low_rank"  # identity + U·V, V starting at zero
    LINEAR = (
        "linear"  # identity + W, W starting at zero; prefixes: through the layer's own projections
    )
    DIRECT = "direct"  # free tensors that start at the semantic state
    FROZEN = "frozen"  # the semantic state as it is; only the head learns


class Start(StrEnum):
    """What the prompt starts from."""

    SEMANTIC = "semantic"  # the words' states as they are
    SPREAD = "spread"  # the words' states told apart: centred, and orthogonal in each head
    RANDOM = "random"  # for ablations


class Pooling(StrEnum):
    """How the text's own token states become one vector; never over prompt or padding."""

    MEAN = "mean"
    FIRST = "first"
    LAST = "last"


class Activation(StrEnum):
    """What follows the hidden layer of a head that has one."""

    TANH = "tanh"
    RELU = "relu"
    GELU = "gelu"


class ClassWeight(StrEnum):
    """Whether rows with rare labels weigh more in the loss."""

    AUTO = "auto"  # dampened, and only where one label stands on most rows
    NONE = "none"
    BALANCED = "balanced"  # by the inverse of the labels' frequency


class TextOffset(StrEnum):
    """The position of the text's first token."""

    SHARED = "shared"  # 0: the prompt takes no positions away from the text
    AFTER_PROMPT = "after_prompt"  # P, the prompt's length


@dataclass(frozen=True, slots=True)
class BaseIdentity:
    """Which frozen base an adapter belongs to."""

    name: str  # for people
    digest: str  # "sha256:…" over weights and tokenizer; decides

    def __str__(self) -> str:
        return f"{self.name} ({self.digest[:19]})"


@dataclass(frozen=True, slots=True)
class RiskLevel:
    """What is needed for at most a share `risk` of the given answers to be wrong."""

    risk: float
    threshold: float  # answers with a lower probability are not to be given
    coverage: float  # share of the held-out rows that is answered then

    def __post_init__(self) -> None:
        if not all(0 <= value <= 1 for value in (self.risk, self.threshold, self.coverage)):
            raise ConfigError(f"a risk level's numbers must be between 0 and 1, got {self}")


@dataclass(frozen=True, slots=True)
class AdapterConfig:
    """Everything about an adapter but its tensors; written to ``adapter_config.json``.

    Raises:
        ConfigError: a value that cannot work.
    """

    task: Task
    labels: tuple[str, ...]  # regression: empty; tokens: the BIO tags, "O" among them
    base: BaseIdentity
    method: Method = Method.SK_PREFIX
    transform: Transform = Transform.LOW_RANK
    start: Start = Start.SEMANTIC
    rank: int = 8
    prompt_text: str = ""
    num_virtual_tokens: int = 0  # P, known once the prompt text has been tokenised
    text_offset: TextOffset = TextOffset.SHARED
    pooling: Pooling = Pooling.MEAN
    is_pair: bool = False
    pair_template: str = ""  # causal bases: "{text}\n{text_pair}"; empty: the tokenizer's own
    seed: int = 0
    temperature: float = 1.0  # logits are divided by it before softmax or sigmoid
    thresholds: tuple[float, ...] = ()  # multi-label: one a label; empty: 0.5 each
    risk_levels: tuple[RiskLevel, ...] = ()  # single-label: what the held-out rows vouch for
    # of imported adapters; see `_LEFT_OUT`
    head_activation: Activation | None = None  # the head has a hidden layer, which this follows
    pools_prompt: bool = False  # `first` is the row's: a virtual token, where they stand in the row
    adds_special_tokens: bool = False  # causal bases: texts get the tokenizer's special tokens

    def __post_init__(self) -> None:
        _check_labels(self.task, self.labels)
        if not 1 <= self.rank <= 1024:
            raise ConfigError(f"rank must be between 1 and 1024, got {self.rank}")
        if not 0 <= self.num_virtual_tokens <= MAX_VIRTUAL_TOKENS:
            raise ConfigError(
                f"the prompt has {self.num_virtual_tokens} tokens; "
                f"at most {MAX_VIRTUAL_TOKENS} are possible"
            )
        if not self.temperature > 0:
            raise ConfigError(f"temperature must be above 0, got {self.temperature}")
        if self.thresholds and len(self.thresholds) != len(self.labels):
            raise ConfigError(f"{len(self.thresholds)} thresholds for {len(self.labels)} labels")
        if self.pools_prompt and self.pooling is not Pooling.FIRST:
            raise ConfigError(f"pools_prompt is for the pooling first, not {self.pooling}")

    @property
    def num_outputs(self) -> int:
        """Width of the head: one a label, or 1 for regression."""
        return 1 if self.task is Task.REGRESSION else len(self.labels)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        values["base"] = {"name": self.base.name, "digest": self.base.digest}
        values["labels"] = list(self.labels)
        values["thresholds"] = list(self.thresholds)
        values["risk_levels"] = [asdict(level) for level in self.risk_levels]
        return {k: v for k, v in values.items() if k not in _LEFT_OUT or v}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """The reverse of `to_dict`.

        Raises:
            ConfigError: a name that is not known, or a value of the wrong type or range.
        """
        try:
            base = BaseIdentity(**values["base"])
            parsed = {**values, **_parse_enums(values), "base": base}
            parsed["labels"] = tuple(str(label) for label in values.get("labels", ()))
            parsed["thresholds"] = tuple(float(t) for t in values.get("thresholds", ()))
            levels = values.get("risk_levels", ())
            parsed["risk_levels"] = tuple(RiskLevel(**level) for level in levels)
            return cls(**parsed)
        except (KeyError, TypeError, ValueError) as error:
            raise ConfigError(f"adapter configuration: {error}") from error

    def with_base(self, base: BaseIdentity) -> Self:
        """The same adapter said to belong to `base`."""
        return replace(self, base=base)


# at their defaults not written down, so that adapters without them keep their digests
_LEFT_OUT = frozenset({"head_activation", "pools_prompt", "adds_special_tokens"})

_ENUMS: dict[str, type[StrEnum]] = {
    "task": Task,
    "head_activation": Activation,
    "method": Method,
    "transform": Transform,
    "start": Start,
    "pooling": Pooling,
    "text_offset": TextOffset,
}


def _parse_enums(values: dict[str, Any]) -> dict[str, StrEnum]:
    return {name: enum(values[name]) for name, enum in _ENUMS.items() if name in values}


def _check_labels(task: Task, labels: tuple[str, ...]) -> None:
    if task is Task.REGRESSION:
        if labels:
            raise ConfigError("regression has no labels")
        return
    if len(labels) < (1 if task is Task.MULTI_LABEL else 2):
        raise ConfigError(f"{task} needs at least two labels, got {len(labels)}")
    if len(labels) > MAX_LABELS:
        raise ConfigError(f"{len(labels)} labels; at most {MAX_LABELS} are possible")
    if len(set(labels)) != len(labels):
        raise ConfigError("label names must differ from each other")


@dataclass(frozen=True, slots=True)
class TrainingConfig:
    """How the trainable part is fitted. The defaults work when nothing but data is given.

    Raises:
        ConfigError: a value that cannot work.
    """

    epochs: int | None = None  # None: enough for the number of rows, see `plan_epochs`
    batch_size: int = 32  # rows an optimiser step, over all processes
    gradient_accumulation_steps: int = 1  # parts that these are computed in: less memory, same step
    learning_rate: float | None = None  # of the prompt's transform; None: what suits it
    head_learning_rate: float = 2e-3
    weight_decay: float = 0.01
    warmup_ratio: float = 0.1
    max_grad_norm: float = 1.0
    head_dropout: float = 0.1
    evaluations: int = 10  # of the held-out rows, evenly spread
    patience: int | None = None  # evaluations without improvement before it stops; 0: never
    checkpoint_every_s: float = 20.0
    max_length: int = 256  # tokens a row; longer ones are cut and counted
    seed: int = 0
    mixed_precision: str = "auto"  # no | bf16 | fp16; auto: bf16 where the device is fast at it
    class_weight: ClassWeight = ClassWeight.AUTO  # single-label and multi-label
    # whether texts are drawn to the mean of their label's, see `prototypes`; None: of few rows
    prototypes: bool | None = None

    def __post_init__(self) -> None:
        positive = ("batch_size", "gradient_accumulation_steps", "learning_rate")
        rates = ("head_learning_rate", "max_grad_norm")
        for name in ("epochs", *positive, *rates, "evaluations", "max_length"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ConfigError(f"{name} must be above 0, got {value}")
        if not 0 <= self.warmup_ratio < 1 or not 0 <= self.head_dropout < 1:
            raise ConfigError("warmup_ratio and head_dropout must be at least 0 and below 1")
        if self.mixed_precision not in {"auto", "no", "bf16", "fp16"}:
            raise ConfigError(
                f"mixed_precision must be auto, no, bf16 or fp16, got {self.mixed_precision!r}"
            )
        if self.class_weight not in list(ClassWeight):
            raise ConfigError(
                f"class_weight must be auto, none or balanced, got {self.class_weight!r}"
            )

    def plan_prototypes(self, task: Task, num_rows: int, num_labels: int) -> bool:
        """As asked for; else where the task has prototypes and the rows are few.

        Raises:
            ConfigError: asked for, and the task has none.
        """
        can = task is Task.SINGLE_LABEL
        if self.prototypes and not can:
            raise ConfigError(f"{task} has no prototypes; only {Task.SINGLE_LABEL} has")
        if self.prototypes is not None:
            return self.prototypes
        return can and num_rows <= max(PROTOTYPE_ROWS, PROTOTYPE_ROWS_A_LABEL * num_labels)

    def plan_epochs(self, num_rows: int, num_labels: int = 0, *, prototypes: bool = False) -> int:
        """The epochs asked for; else more for few rows or many labels, so that steps suffice."""
        if self.epochs is not None:
            return self.epochs
        steps = -(-num_rows // self.batch_size)
        if prototypes:
            return -(-PROTOTYPE_STEPS // steps)
        wanted = max(MIN_STEPS, MIN_STEPS_A_LABEL * num_labels)
        most = max(MAX_EPOCHS, min(-(-FEW_STEPS // steps), FEW_EPOCHS))
        return min(max(-(-wanted // steps), MIN_EPOCHS), most)

    def plan_patience(self, num_held_out: int) -> int:
        """The patience asked for; else the usual, but never a stop that few rows decide."""
        if self.patience is not None:
            return self.patience
        return PATIENCE if self.chooses_by(num_held_out) else 0

    def chooses_by(self, num_held_out: int) -> bool:
        """Whether the best evaluation of so many rows is kept; of fewer the last one is."""
        return num_held_out >= DECISIVE_ROWS

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {f.name: getattr(self, f.name) for f in fields(self)}


@dataclass(frozen=True, slots=True)
class AdapterSpec:
    """What a user may choose about a new adapter; everything else is found or made."""

    method: Method = Method.SK_PREFIX
    transform: Transform = Transform.DIRECT
    start: Start | None = None  # None: what suits base, method and transform
    rank: int = 8
    prompt_text: str | None = None  # None: made from the task and the label names
    pooling: Pooling | None = None  # None: mean
    training: TrainingConfig = field(default_factory=TrainingConfig)
