"""The fields of the training form, checked and turned into what jobs and uploads take."""

from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from skhost.admission import TrainOrder
from skhost.api.errors import problems_of
from skhost.api.form import Form
from skhost.api.schemas import refuse_unknown
from skhost.errors import InvalidRequest
from skhost.jobs.request import Gate, TrainRequest
from skhost.names import check_name
from skhost.uploads.request import ColumnChoice
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

_TRAINING = (
    *("epochs", "batch_size", "learning_rate", "head_learning_rate", "weight_decay"),
    *("patience", "max_length", "class_weight", "gradient_accumulation_steps", "seed"),
)


class TrainFields(BaseModel):
    """The text fields of the form; all but `name` may be left out."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(description="The adapter that is made, or gets a new version.")
    task: Task | None = Field(None, description="Found in the file by default.")
    method: Method = Method.SK_PREFIX
    transform: Transform = AdapterSpec().transform
    start: Start | None = Field(None, description="By default what suits base and method.")
    rank: int = Field(AdapterSpec().rank, ge=1, le=1024, description="Of the low-rank transform.")
    prompt_text: str | None = Field(
        None, max_length=4000, description="The semantic prompt; made from task and labels."
    )
    pooling: Pooling | None = None
    epochs: int | None = Field(None, ge=1, le=1000)
    batch_size: int | None = Field(None, ge=1, le=4096)
    gradient_accumulation_steps: int | None = Field(
        None, ge=1, le=4096, description="Parts that a batch is computed in, to save memory."
    )
    learning_rate: float | None = Field(None, gt=0, le=10, allow_inf_nan=False)
    head_learning_rate: float | None = Field(None, gt=0, le=10, allow_inf_nan=False)
    weight_decay: float | None = Field(None, ge=0, le=10, allow_inf_nan=False)
    patience: int | None = Field(None, ge=0, le=1000)
    max_length: int | None = Field(None, ge=8, le=8192, description="Tokens a row.")
    class_weight: ClassWeight | None = Field(
        None, description="Of rare labels in the loss; auto: where one label is on most rows."
    )
    seed: int | None = Field(None, ge=0, le=2**32 - 1)
    text_column: str | None = None
    pair_column: str | None = None
    label_column: str | None = None
    tokens_column: str | None = None
    id_column: str | None = None
    split_column: str | None = None
    ignore_columns: str | None = Field(None, description="Names, joined by commas.")
    on_bad_rows: Literal["refuse", "skip"] = "refuse"
    held_out_fraction: float | None = Field(None, gt=0, le=0.5)
    gate: Gate = Field(
        Gate.NOT_WORSE, description="When the new version answers: not_worse, always or never."
    )

    @model_validator(mode="before")
    @classmethod
    def _given(cls, values: dict[str, Any]) -> dict[str, Any]:
        """A field sent empty is as good as none."""
        refuse_unknown(values, list(cls.model_fields))
        return {name: value for name, value in values.items() if value != ""}

    @field_validator("name")
    @classmethod
    def _is_a_name(cls, value: str) -> str:
        try:
            return check_name(value)
        except InvalidRequest as error:
            raise ValueError(error.message) from error

    @classmethod
    def parse(cls, fields: dict[str, str]) -> Self:
        """The fields of a form.

        Raises:
            InvalidRequest: a field is unknown, missing or cannot work; names all of them.
        """
        try:
            return cls.model_validate(fields)
        except ValidationError as error:
            located = [{**e, "loc": ("form", *e["loc"])} for e in error.errors()]
            problems = problems_of(located)
            raise InvalidRequest("; ".join(problems), details={"problems": problems}) from error

    def columns(self) -> ColumnChoice:
        """The columns that were named."""
        ignored = (self.ignore_columns or "").split(",")
        return ColumnChoice(
            text=self.text_column,
            text_pair=self.pair_column,
            label=self.label_column,
            tokens=self.tokens_column,
            id=self.id_column,
            split=self.split_column,
            ignore=tuple(name.strip() for name in ignored if name.strip()),
        )

    def training(self) -> TrainingConfig:
        """The hyperparameters: the defaults but for what was given."""
        given = {name: getattr(self, name) for name in _TRAINING}
        return TrainingConfig(**{n: value for n, value in given.items() if value is not None})

    def request(self) -> TrainRequest:
        """What a job is asked to do."""
        spec = AdapterSpec(
            method=self.method,
            transform=self.transform,
            start=self.start,
            rank=self.rank,
            prompt_text=self.prompt_text,
            pooling=self.pooling,
            training=self.training(),
        )
        return TrainRequest(
            task=self.task,
            spec=spec,
            columns=self.columns(),
            on_bad_rows=self.on_bad_rows,
            held_out_fraction=self.held_out_fraction,
            seed=self.seed or 0,
            gate=self.gate,
        )


def parse_train_form(form: Form) -> TrainOrder:
    """What a form asks for.

    Raises:
        InvalidRequest: the file is missing, or a field is unknown or cannot work.
    """
    fields = TrainFields.parse(form.fields)
    if "file" not in form.files:
        raise InvalidRequest("the form has no file; send one (curl: -F file=@FILE)")
    return TrainOrder(
        name=fields.name,
        file=form.files["file"],
        held_out=form.files.get("held_out"),
        request=fields.request(),
    )


def _form_schema() -> dict[str, Any]:
    schema = TrainFields.model_json_schema(ref_template="#/components/schemas/{model}")
    definitions = schema.pop("$defs", {})
    properties = {
        name: _inlined(value, definitions) for name, value in schema["properties"].items()
    }
    file = {"type": "string", "format": "binary"}
    properties["file"] = {**file, "description": "Rows to learn from: CSV, TSV, JSON or Parquet."}
    properties["held_out"] = {**file, "description": "Rows to judge by; else a part of the file."}
    return {"type": "object", "required": ["file", "name"], "properties": properties}


def _inlined(value: Any, definitions: dict[str, Any]) -> Any:
    """Enumerations put in place: the form's schema stands alone."""
    if isinstance(value, dict) and "$ref" in value:
        rest = {k: v for k, v in value.items() if k != "$ref"}
        return {**definitions[value["$ref"].rsplit("/", 1)[1]], **rest}
    if isinstance(value, dict):
        return {k: _inlined(v, definitions) for k, v in value.items()}
    if isinstance(value, list):
        return [_inlined(v, definitions) for v in value]
    return value


def train_form_docs() -> dict[str, Any]:
    """What OpenAPI says about the form, which FastAPI does not read itself."""
    return {
        "requestBody": {
            "required": True,
            "content": {"multipart/form-data": {"schema": _form_schema()}},
        }
    }
