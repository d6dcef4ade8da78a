"""What requests may hold and what answers look like: pydantic, at the edge only."""

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, JsonValue, model_validator

from skhost.api.errors import did_you_mean, shown
from skhost.records import Origin, VersionState
from sktuning.data import TextInput
from sktuning.zero_shot import MAX_DESCRIPTIONS, MAX_LABELS

INPUT_FIELDS = ("text", "texts", "pairs", "tokens")
ROW_FIELDS = ("text", "pair", "tokens")

VersionNumber = Annotated[int, Field(ge=1, le=2**31 - 1)]


class Strict(BaseModel):
    """A request body: unknown fields are refused by name, with a near one."""

    model_config = ConfigDict(extra="forbid", strict=True)

    @model_validator(mode="before")
    @classmethod
    def _refuse_unknown(cls, values: Any) -> Any:
        if isinstance(values, dict):
            refuse_unknown(values, list(cls.model_fields))
        return values


def refuse_unknown(values: dict[str, Any], known: list[str]) -> None:
    """Raise ValueError for the first name that is not known."""
    for name in values:
        if name not in known:
            raise ValueError(
                f"unknown field {shown(name)}{did_you_mean(str(name), known)}; "
                f"possible are {', '.join(known)}"
            )


class ClassifyRequest(Strict):
    """Exactly one of text, texts, pairs and tokens; the rest are options."""

    text: str | None = Field(None, description="One text.", examples=["A great film."])
    texts: list[str] | None = Field(None, description="Several texts.")
    pairs: list[tuple[str, str]] | None = Field(
        None, description="Pairs of texts, for adapters that compare two."
    )
    tokens: list[list[str]] | None = Field(
        None, description="Rows of words, for token classification."
    )
    top_k: int | None = Field(None, ge=1, description="At most so many labels and scores an item.")
    threshold: float | None = Field(
        None,
        ge=0,
        le=1,
        description="A probability. Single-label: a best label below it gets `abstain`. "
        "Multi-label: replaces the adapter's thresholds. Tokens: entities below it are left out.",
    )
    scores: Literal["prob", "logit", "none"] = "prob"
    max_risk: float | None = Field(
        None,
        gt=0,
        le=1,
        description="Single-label: the share of wrong answers that is acceptable, 0.05 say. "
        "Answers that are less sure than the adapter's held-out rows ask for get `abstain`.",
    )
    truncate: bool = Field(
        True, description="Cut texts that are too long, and say so; false refuses them."
    )

    @model_validator(mode="before")
    @classmethod
    def _pairs_from_lists(cls, values: Any) -> Any:
        """JSON has no tuples, and strict validation would ask for them."""
        if isinstance(values, dict) and isinstance(values.get("pairs"), list):
            pairs = [tuple(p) if isinstance(p, list) else p for p in values["pairs"]]
            return {**values, "pairs": pairs}
        return values

    @model_validator(mode="after")
    def _one_input(self) -> Self:
        given = [name for name in INPUT_FIELDS if getattr(self, name) is not None]
        if len(given) == 1:
            return self
        seen = f"got {' and '.join(given)}" if given else "got none of them"
        raise ValueError(f"send exactly one of {', '.join(INPUT_FIELDS)}; {seen}")


class ClassifyRow(BaseModel):
    """A line of a stream: exactly one of text, pair and tokens."""

    model_config = ConfigDict(extra="forbid", strict=True)

    text: str | None = Field(None, description="One text.")
    pair: tuple[str, str] | None = Field(None, description="Two texts to compare.")
    tokens: list[str] | None = Field(None, description="The words of a row.")
    id: str | int | None = Field(None, description="Comes back with the answer.")

    def input(self) -> TextInput:
        """What is classified.

        Raises:
            ValueError: not exactly one of the three is given.
        """
        given = [name for name in ROW_FIELDS if getattr(self, name) is not None]
        if len(given) != 1:
            seen = f"got {' and '.join(given)}" if given else "got none of them"
            raise ValueError(f"send exactly one of {', '.join(ROW_FIELDS)}; {seen}")
        if self.text is not None:
            return TextInput(self.text)
        if self.pair is not None:
            return TextInput(*self.pair)
        return TextInput(tokens=tuple(self.tokens or ()))


class ClassifyAnswer(BaseModel):
    """The answers of one adapter."""

    adapter: str
    version: int
    digest: str = Field(description="Of the artifact that answered.")
    task: str
    results: list[dict[str, JsonValue]] = Field(
        description="One item a text, in order. By task: label, score, scores | labels, scores | "
        "value | entities, tags; with truncated (tokens dropped) or abstain, or instead error."
    )
    usage: dict[str, int]


class FanOutAnswer(BaseModel):
    """The answers of several adapters to the same texts."""

    adapters: list[ClassifyAnswer]


class ErrorDetail(BaseModel):
    """What went wrong."""

    code: str
    message: str
    request_id: str
    details: dict[str, JsonValue] | None = None


class ErrorBody(BaseModel):
    """The body of every error."""

    error: ErrorDetail


class CreateRequest(Strict):
    """What an adapter without any data is made from."""

    name: str = Field(examples=["mood"])
    labels: list[str] = Field(
        min_length=2, max_length=MAX_LABELS, examples=[["positive", "negative"]]
    )
    descriptions: dict[str, str | list[str]] = Field(
        default_factory=dict,
        description="By label, for some or all: what its texts are about, or what they say; one "
        f"sentence or up to {MAX_DESCRIPTIONS}.",
        examples=[{"positive": "a customer who praises us"}],
    )


class PromoteRequest(Strict):
    """Which version is to answer."""

    version: VersionNumber
    alias: str = "prod"


class RollbackRequest(Strict):
    """Which alias goes back to what it pointed at before."""

    alias: str = "prod"


class AliasRequest(Strict):
    """Where the alias is to point."""

    version: VersionNumber


class Version(BaseModel):
    """One version of an adapter."""

    name: str
    version: int
    state: VersionState
    note: str | None = Field(description="Why it does not answer, where it stayed a candidate.")
    quarantine: str | None = Field(
        description="Which server found it to answer differently than before, and how; it refuses "
        "this version until that is lifted."
    )
    digest: str
    base: dict[str, str]
    task: str
    labels: list[str]
    created_at: float = Field(description="Unix time, seconds.")
    origin: Origin = Field(
        description="`training`, `import`, or `labels`: made from label names, without any data."
    )
    job_id: str | None = Field(description="The training that made it, if one did.")
    metrics: dict[str, JsonValue] = Field(description="Of held-out rows; empty without a training.")
    nbytes: int = Field(description="Of the served tensors.")


class AdapterBody(BaseModel):
    """An adapter: its aliases and versions."""

    name: str
    tenant: str = Field(description="Whose it is: the caller's, or `shared`.")
    revision: int
    aliases: dict[str, int]
    history: dict[str, list[int]] = Field(description="What each alias pointed at before.")
    pinned: bool = Field(description="Whether what its aliases point at stays in memory.")
    versions: list[Version]


class AdapterPage(BaseModel):
    """Some adapters by name; `next_cursor` gets the following page."""

    adapters: list[AdapterBody]
    next_cursor: str | None


class VersionList(BaseModel):
    """All versions of an adapter."""

    name: str
    versions: list[Version]


class JobBody(BaseModel):
    """A training job; further fields as the job goes on."""

    model_config = ConfigDict(extra="allow")

    id: str
    name: str
    state: str
    is_terminal: bool
    created_at: float


class JobPage(BaseModel):
    """Some jobs, newest first; `next_cursor` gets the following page."""

    jobs: list[JobBody]
    next_cursor: str | None
