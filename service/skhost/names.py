"""What adapters, versions, aliases and jobs may be called, and how a request names one."""

import csv
import difflib
import re
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from skhost.errors import InvalidRequest

DEFAULT_ALIAS: Final = "prod"
MAX_VERSION: Final = 2**31 - 1

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_ALIAS = re.compile(r"[a-z][a-z0-9._-]{0,31}")
_VERSION = re.compile(r"[1-9][0-9]{0,9}")
_JOB_ID = re.compile(r"[0-9a-f]{16}")
_MAX_COMPARED = 500  # difflib takes about 20 µs a name, and the event loop waits for it


@dataclass(frozen=True, slots=True)
class AdapterRef:
    """One adapter as a request names it: by version, by alias, or by the default alias."""

    name: str
    selector: int | str | None = None  # version, alias, or None for the default alias
    tenant: str | None = None  # whose; None: the server's own

    @property
    def alias(self) -> str | None:
        """The alias meant; None when a version is named."""
        if isinstance(self.selector, int):
            return None
        return self.selector or DEFAULT_ALIAS

    def __str__(self) -> str:
        return self.name if self.selector is None else f"{self.name}@{self.selector}"


def parse_ref(text: str) -> AdapterRef:
    """Read ``name``, ``name@3`` or ``name@alias``.

    Raises:
        InvalidRequest: it has another form.
    """
    name, at, selector = text.partition("@")
    check_name(name)
    if not at:
        return AdapterRef(name)
    if selector.isascii() and selector.isdigit():
        return AdapterRef(name, parse_version(selector))
    return AdapterRef(name, check_alias(selector))


def parse_labels(text: str | None) -> tuple[str, ...]:
    """Read label names between commas; a name with a comma in it stands in double quotes.

    Raises:
        InvalidRequest: a name is empty, or a quote is not closed.
    """
    if text is None:
        return ()
    try:
        names = next(csv.reader([text], skipinitialspace=True, strict=True), [])
    except csv.Error as error:
        raise InvalidRequest(f"the labels cannot be read: {error}") from error
    labels = tuple(name.strip() for name in names)
    if not all(labels) or not labels:
        raise InvalidRequest("the labels are names between commas, and none may be empty")
    return labels


def parse_version(text: str) -> int:
    """Read a version number.

    Raises:
        InvalidRequest: it is not a whole number from 1 up.
    """
    if _VERSION.fullmatch(text) and (version := int(text)) <= MAX_VERSION:
        return version
    raise InvalidRequest(f"version {text[:20]!r}: a whole number from 1 up is needed")


def check_name(name: str) -> str:
    """The same name, if an adapter may have it.

    Raises:
        InvalidRequest: it has other characters, or too many.
    """
    if _NAME.fullmatch(name):
        return name
    raise InvalidRequest(
        f"adapter name {name[:80]!r}: 1 to 64 of a-z, 0-9, '.', '_', '-' are possible, "
        "a letter or digit first"
    )


def check_alias(alias: str) -> str:
    """The same alias, if it may be one.

    Raises:
        InvalidRequest: it has other characters, or too many.
    """
    if _ALIAS.fullmatch(alias):
        return alias
    raise InvalidRequest(
        f"alias {alias[:80]!r}: 1 to 32 of a-z, 0-9, '.', '_', '-' are possible, a letter first"
    )


def near_names(name: str, names: Iterable[str], limit: int = 3) -> list[str]:
    """Up to `limit` of `names` that look like `name`, the nearest first."""

    def unlikeness(other: str) -> tuple[bool, bool, int]:
        return other[:1] != name[:1], other[:3] != name[:3], abs(len(other) - len(name))

    candidates = sorted(names, key=unlikeness)
    return difflib.get_close_matches(name, candidates[:_MAX_COMPARED], limit, cutoff=0.6)


def new_job_id() -> str:
    """A job id that nobody can guess: 16 hexadecimal digits."""
    return secrets.token_hex(8)


def is_job_id(text: str) -> bool:
    """Whether `text` has the form of a job id."""
    return _JOB_ID.fullmatch(text) is not None
