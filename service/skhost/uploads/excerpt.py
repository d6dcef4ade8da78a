"""Values of the user as they may be shown in messages and logs: cut, and with escapes."""

from collections.abc import Sequence

EXCERPT_CHARS = 60


def escape(text: str) -> str:
    """`text` with everything that does not print (controls, zero-width, bidi) as an escape."""
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode("ascii")
        for char in text
    )


def plain(text: str, limit: int = EXCERPT_CHARS) -> str:
    """`text` escaped and cut, without quotes: for file names."""
    return escape(text[:limit]) + ("…" if len(text) > limit else "")


def excerpt(text: str, limit: int = EXCERPT_CHARS) -> str:
    """`text` escaped, cut and in quotes."""
    cut = text[:limit].replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escape(cut)}"' + ("…" if len(text) > limit else "")


def listing(texts: Sequence[str], limit: int = 12) -> str:
    """The first of `texts` as excerpts, and how many more there are."""
    shown = ", ".join(excerpt(text) for text in texts[:limit])
    more = len(texts) - limit
    return f"{shown} and {more:,} more" if more > 0 else shown


def kind_of(value: object) -> str:
    """What a JSON value is, in words; never the value itself."""
    if isinstance(value, bool):
        return "true" if value else "false"
    names = ((str, "a text"), (int | float, "a number"), (list | tuple, "an array"))
    for types, name in names:
        if isinstance(value, types):
            return name
    return "null" if value is None else "an object" if isinstance(value, dict) else "no JSON value"
