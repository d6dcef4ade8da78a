"""What a training job was asked to do: plain values that survive JSON."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from enum import StrEnum
from typing import Any, Self

from skhost.errors import InvalidRequest
from skhost.uploads.request import BadRows, ColumnChoice, ReadRequest
from sktuning.config import (
    AdapterSpec,
    ClassWeight,
    Method,
    Pooling,
    Start,
    Task,
    TrainingConfig,
    Transform,
)
from sktuning.errors import ConfigError


class Gate(StrEnum):
    """When the new version becomes the one that answers."""

    NOT_WORSE = "not_worse"  # than the live version, on rows that neither was trained on
    ALWAYS = "always"
    NEVER = "never"  # it stays a candidate, even as the first version


@dataclass(frozen=True, slots=True)
class Upload:
    """An uploaded file in the store."""

    role: str  # "train" or "held_out"
    ref: str  # the store's reference
    filename: str  # as the user called it: for messages
    num_bytes: int = 0

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {f.name: getattr(self, f.name) for f in fields(self)}


@dataclass(frozen=True, slots=True)
class TrainRequest:
    """What the user chose; everything else is found in the file or has a default.

    Raises:
        InvalidRequest: a value that cannot work.
    """

    task: Task | None = None
    spec: AdapterSpec = field(default_factory=AdapterSpec)
    columns: ColumnChoice = field(default_factory=ColumnChoice)
    on_bad_rows: BadRows = "refuse"
    held_out_fraction: float | None = None
    seed: int = 0
    gate: Gate = Gate.NOT_WORSE

    def __post_init__(self) -> None:
        self.reading()

    def reading(self) -> ReadRequest:
        """How the upload is to be read."""
        return ReadRequest(
            task=self.task,
            columns=self.columns,
            on_bad_rows=self.on_bad_rows,
            held_out_fraction=self.held_out_fraction,
            seed=self.seed,
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        values: dict[str, Any] = {f.name: getattr(self, f.name) for f in fields(self)}
        values["spec"] = _spec_dict(self.spec)
        values["columns"] = {n: v for n, v in asdict(self.columns).items() if v}
        return values

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """The reverse of `to_dict`.

        Names that are not known are left out: the record may be another release's.

        Raises:
            InvalidRequest: a value that cannot work.
        """
        try:
            task, columns = values.get("task"), dict(values.get("columns", {}))
            columns["ignore"] = tuple(columns.get("ignore", ()))
            parsed = {
                **known_fields(cls, values),
                "task": None if task is None else Task(task),
                "columns": ColumnChoice(**known_fields(ColumnChoice, columns)),
                "spec": _parse_spec(values.get("spec", {})),
                "gate": Gate(values.get("gate", Gate.NOT_WORSE)),
            }
            return cls(**parsed)
        except (ConfigError, TypeError, ValueError) as error:
            raise InvalidRequest(f"training request: {error}") from error


def _spec_dict(spec: AdapterSpec) -> dict[str, Any]:
    values: dict[str, Any] = {f.name: getattr(spec, f.name) for f in fields(spec)}
    values["training"] = spec.training.to_dict()
    return values


def _parse_spec(values: Mapping[str, Any]) -> AdapterSpec:
    enums = {"method": Method, "transform": Transform, "start": Start, "pooling": Pooling}
    parsed = known_fields(AdapterSpec, values)
    for name, enum in enums.items():
        if parsed.get(name) is not None:
            parsed[name] = enum(parsed[name])
    training = known_fields(TrainingConfig, parsed.get("training", {}))
    if "class_weight" in training:
        training["class_weight"] = ClassWeight(training["class_weight"])
    return AdapterSpec(**{**parsed, "training": TrainingConfig(**training)})


def known_fields(kind: type, values: Mapping[str, Any]) -> dict[str, Any]:
    """The values that are fields of a dataclass: a record may be another release's."""
    names = {f.name for f in fields(kind)}
    return {name: value for name, value in values.items() if name in names}
