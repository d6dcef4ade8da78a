"""Which column is what: named by the request, or found by its usual name."""

import difflib
from dataclasses import dataclass

from skhost.uploads.dialect import normal_name
from skhost.uploads.excerpt import excerpt, listing
from skhost.uploads.problems import Findings
from skhost.uploads.request import ColumnChoice
from sktuning.config import Task

# The first name of each group is the documented one and wins over the others.
TEXT = (
    "text", "sentence", "content", "review", "message", "body", "question", "comment",
    "utterance", "query", "tweet", "post", "document", "email", "sms", "input", "review text",
    "review body", "tweet text", "message text", "comment text", "clean text",
)  # fmt: skip
PAIRS = (
    ("text", "text pair"), ("text", "text2"), ("sentence1", "sentence2"), ("text1", "text2"),
    ("question1", "question2"), ("premise", "hypothesis"), ("text a", "text b"),
    ("sentence a", "sentence b"), ("sentence", "sentence2"), ("query", "passage"),
    ("sentence 1", "sentence 2"), ("text 1", "text 2"), ("question 1", "question 2"),
)  # fmt: skip
LABEL = (
    "label", "class", "category", "intent", "target", "sentiment", "topic", "emotion",
    "gold label", "rating", "stars",
)  # fmt: skip
LABELS = ("labels", "categories", "classes", "intents", "emotions", "topics", "tags")
SCORE = ("score", "similarity", "similarity score", "relatedness score", "value")
TOKENS = ("tokens", "words")
TAGS = ("tags", "ner tags", "bio tags", "labels", "token labels", "entities")
ID = ("id", "uid", "uuid", "row id", "example id")
SPLIT = ("split",)
KNOWN = frozenset(
    name.replace(" ", "_")
    for name in (*TEXT, *LABEL, *LABELS, *SCORE, *TOKENS, *TAGS, *ID, *SPLIT, *sum(PAIRS, ()))
)


@dataclass(frozen=True, slots=True)
class Columns:
    """The columns that are read, by role; the rest are listed as unused."""

    target: str
    text: str | None = None
    text_pair: str | None = None
    tokens: str | None = None
    id: str | None = None
    split: str | None = None
    unused: tuple[str, ...] = ()

    def roles(self) -> dict[str, str]:
        """Role to column name."""
        names = ("text", "text_pair", "tokens", "target", "id", "split")
        return {role: name for role in names if (name := getattr(self, role)) is not None}

    @property
    def is_score(self) -> bool:
        """Whether the target's name says that it is a number."""
        return _key(self.target) in SCORE

    @property
    def is_plural(self) -> bool:
        """Whether the target's name says that it may hold several labels."""
        return _key(self.target) in LABELS


@dataclass(frozen=True, slots=True)
class InputColumns:
    """The columns of a file that has rows to classify: nothing is said of targets."""

    text: str | None = None
    text_pair: str | None = None
    tokens: str | None = None
    id: str | None = None

    def names(self) -> frozenset[str]:
        """All of them."""
        values = (self.text, self.text_pair, self.tokens, self.id)
        return frozenset(name for name in values if name is not None)


def _key(name: str) -> str:
    return normal_name(name).replace("_", " ")


def known_names(choice: ColumnChoice) -> frozenset[str]:
    """Normalised names to expect in a header."""
    return KNOWN | {normal_name(name) for name in choice.named().values()}


def find_columns(choice: ColumnChoice, task: Task | None, findings: Findings) -> Columns:
    """The columns of the file that `findings` is about.

    Raises:
        UploadRefused: a column that is needed is not there, or several could be it.
    """
    return _Finder(choice, task, findings).find()


def find_inputs(choice: ColumnChoice, findings: Findings) -> InputColumns:
    """The columns of a file that is to be classified.

    Raises:
        UploadRefused: there are no texts, or several columns could be them.
    """
    return _Finder(choice, None, findings).inputs()


class _Finder:
    def __init__(self, choice: ColumnChoice, task: Task | None, findings: Findings) -> None:
        self._findings = findings
        self._task = task
        ignored = {self._existing(name, "ignored") for name in choice.ignore}
        self._names = [name for name in findings.columns if name not in ignored]
        self._given = {
            role: self._existing(name, role.replace("_", " "))
            for role, name in choice.named().items()
        }
        self._by_key: dict[str, list[str]] = {}
        for name in self._names:
            if name not in self._given.values():
                self._by_key.setdefault(_key(name), []).append(name)

    def find(self) -> Columns:
        tokens = self._tokens()
        text, pair = (None, None) if tokens else self._texts()
        target = self._target(tokens is not None)
        row_id, split = self._optional("id", ID), self._optional("split", SPLIT)
        used = {text, pair, tokens, target, row_id, split}
        unused = tuple(name for name in self._findings.columns if name not in used)
        return Columns(target, text, pair, tokens, row_id, split, unused)

    def inputs(self) -> InputColumns:
        row_id, named = self._optional("id", ID), self._given.keys()
        has_texts = named & {"text", "text_pair"} or self._candidates(TEXT + sum(PAIRS, ()))
        if "tokens" in named or (not has_texts and self._candidates(TOKENS)):
            tokens = self._given.get("tokens") or self._pick("words", TOKENS)
            return InputColumns(tokens=tokens, id=row_id)
        text, pair = self._texts()
        return InputColumns(text, pair, id=row_id)

    def _existing(self, name: str, role: str) -> str:
        """The column that the request means: its exact name, or else its normalised one."""
        names = self._findings.columns
        if name in names:
            return name
        alike = [other for other in names if normal_name(other) == normal_name(name)]
        if len(alike) == 1:
            return alike[0]
        near = difflib.get_close_matches(name, names, n=1)
        hint = f"; did you mean {excerpt(near[0])}?" if near else ""
        message = f"there is no column {excerpt(name)} ({role}); found {listing(names)}{hint}"
        raise self._findings.refusal("column_missing", message, column=name)

    def _tokens(self) -> str | None:
        if "tokens" in self._given:
            return self._given["tokens"]
        if self._task not in (None, Task.TOKENS) or self._given.keys() & {"text", "text_pair"}:
            return None
        found = self._pick("words", TOKENS)
        has_tags = bool(self._candidates(TAGS)) or "label" in self._given
        is_tokens = has_tags and not self._candidates((LABEL[0],))
        if self._task is Task.TOKENS and found is None:
            raise self._absent("words", TOKENS, "tokens")
        return found if self._task is Task.TOKENS or is_tokens else None

    def _texts(self) -> tuple[str, str | None]:
        if "text" in self._given:
            return self._given["text"], self._given.get("text_pair")
        if "text_pair" in self._given:
            return self._needed_text(), self._given["text_pair"]
        pairs = [pair for pair in PAIRS if all(self._candidates((key,)) for key in pair)]
        if len(pairs) > 1 and pairs[0][0] != TEXT[0]:
            names = [name for pair in pairs for name in self._candidates(pair)]
            raise self._ambiguous("texts", names, "text")
        if pairs:
            first, second = (self._one("text", self._candidates((key,))) for key in pairs[0])
            return first, second
        return self._needed_text(), None

    def _needed_text(self) -> str:
        found = self._pick("text", TEXT)
        if found is None:
            raise self._absent("text", TEXT[:7], "text")
        return found

    def _target(self, is_tokens: bool) -> str:
        if "label" in self._given:
            return self._given["label"]
        if is_tokens:
            return self._needed_target("tags", TAGS)
        if self._task is Task.REGRESSION:
            return self._pick("score", SCORE) or self._needed_target("label", LABEL)
        if self._task is Task.MULTI_LABEL:
            return self._pick("labels", LABELS) or self._needed_target("label", LABEL)
        return self._inferred_target()

    def _inferred_target(self) -> str:
        """A label before labels before a score; `label` and `labels` together are ambiguous."""
        both = self._candidates((LABEL[0], LABELS[0]))
        if len(both) > 1 and self._task is None:
            raise self._ambiguous("label", both, "label")
        found = self._pick("label", LABEL) or self._pick("labels", LABELS)
        return found or self._needed_target("label", SCORE, shown=(*LABEL[:7], LABELS[0], SCORE[0]))

    def _needed_target(self, what: str, names: tuple[str, ...], shown: tuple[str, ...] = ()) -> str:
        found = self._pick(what, names)
        if found is None:
            raise self._absent(what, shown or names[:7], "label")
        return found

    def _optional(self, role: str, names: tuple[str, ...]) -> str | None:
        if role in self._given:
            return self._given[role]
        found = self._candidates(names)
        return self._one(role, found) if found else None

    def _pick(self, what: str, names: tuple[str, ...]) -> str | None:
        first, others = self._candidates(names[:1]), self._candidates(names[1:])
        found = first or others
        return self._one(what, found) if found else None

    def _candidates(self, keys: tuple[str, ...]) -> list[str]:
        return [name for key in keys for name in self._by_key.get(key, ())]

    def _one(self, what: str, names: list[str]) -> str:
        if len(names) > 1:
            raise self._ambiguous(what, names, _FIELDS.get(what, "label"))
        return names[0]

    def _absent(self, what: str, usual: tuple[str, ...], role: str) -> Exception:
        names = self._findings.columns
        hint = ""
        if self._findings.format == "csv" and not any(self._by_key.keys() & _SPACED_KNOWN):
            hint = ". The first line is read as the header: add one if it is missing"
        message = (
            f"no {what} column (usual names: {', '.join(usual)}); found {listing(names)}. "
            f"Say which one it is ({role}_column), or add it{hint}"
        )
        return self._findings.refusal("column_missing", message, column=role)

    def _ambiguous(self, what: str, names: list[str], role: str) -> Exception:
        message = f"{listing(names)} could each be the {what} column; say which ({role}_column)"
        return self._findings.refusal("column_ambiguous", message, column=role)


# What a column is called in messages to the part that the request names it by.
_FIELDS = {"text": "text", "words": "tokens", "id": "id", "split": "split"}
_SPACED_KNOWN = frozenset(name.replace("_", " ") for name in KNOWN)
