"""Lists of words, tags and labels, as JSON has them and as a text cell may spell them."""

import json

from skhost.uploads.excerpt import kind_of
from skhost.uploads.problems import BadCell
from skhost.uploads.records import MISSING
from skhost.uploads.texts import check_characters

LIST_SEPARATORS = ("|", ";", ",")  # tried in this order


def is_json_list(text: str) -> bool:
    """Whether a text cell is meant as a list in brackets."""
    stripped = text.strip()
    return stripped.startswith("[") and stripped.endswith("]")


def parse_list(text: str) -> list[object]:
    """A text cell that holds a JSON array.

    Raises:
        BadCell: brackets, but not JSON inside; Python's lists are not guessed at.
    """
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        reason = "brackets without valid JSON inside; write a list as"
        raise BadCell("invalid_list", f'{reason} ["a", "b"], with double quotes') from error
    assert isinstance(value, list)  # it begins and ends with brackets
    return value


def words_of(value: object, max_chars: int, *, is_text: bool) -> tuple[str, ...]:
    """The words of one row for token classification.

    Args:
        is_text: the cell is text: a JSON array, or words with blanks between them.

    Raises:
        BadCell: no list of texts, an empty one, or too long.
    """
    words = _texts_of(value, "words", is_text=is_text)
    if not words:
        raise BadCell("words_empty", "there are no words")
    if (total := sum(map(len, words))) > max_chars:
        message = f"the words have {total:,} characters together; at most {max_chars:,} are read"
        raise BadCell("words_too_long", message)
    for word in words:
        check_characters(word, "word", max_chars)
        if not word:
            raise BadCell("word_empty", "one of the words is empty")
    return words


def tags_of(value: object, num_words: int, max_chars: int, *, is_text: bool) -> tuple[str, ...]:
    """The tags of one row, one a word.

    Raises:
        BadCell: no list of texts, not as many as words, or a tag that cannot be a label.
    """
    tags = _texts_of(value, "tags", is_text=is_text)
    if len(tags) != num_words:
        raise BadCell("tags_count", f"{num_words} words but {len(tags)} tags")
    for tag in tags:
        check_characters(tag, "tag", max_chars)
        if not tag.strip() or tag != tag.strip():
            raise BadCell("tag_blank", "a tag is empty or has blanks around it")
    return tags


def _texts_of(value: object, what: str, *, is_text: bool) -> tuple[str, ...]:
    if value is MISSING or value is None:
        raise BadCell(f"{what}_missing", f"there are no {what}")
    if is_text and isinstance(value, str):
        value = parse_list(value) if is_json_list(value) else value.split()
    if not isinstance(value, list):
        raise BadCell(f"{what}_type", f"the {what} are {kind_of(value)}, not a list of texts")
    odd = next((item for item in value if not isinstance(item, str)), None)
    if odd is not None or None in value:
        message = f"the {what} hold {kind_of(odd)}; each must be a text"
        raise BadCell(f"{what}_type", message)
    return tuple(value)
