"""An API key as text: made, recognised and hashed.

``skh_<id>_<secret>``: the id is public and finds the record; only a hash of the whole is kept.
The secret has 256 random bits, so one round of SHA-256 is enough: there is nothing to guess.
"""

import hashlib
import hmac
import re
import secrets
import string
from dataclasses import dataclass, field
from typing import Final

PREFIX: Final = "skh_"
ID_CHARS: Final = 12
SECRET_CHARS: Final = 43  # of 62 each: 256 bits

_ID_ALPHABET: Final = string.ascii_lowercase + string.digits
_SECRET_ALPHABET: Final = string.ascii_letters + string.digits
_TOKEN: Final = re.compile(rf"{PREFIX}([a-z0-9]{{{ID_CHARS}}})_[A-Za-z0-9]{{{SECRET_CHARS}}}")
_HASHED: Final = re.compile(rf"{PREFIX}([a-z0-9]{{{ID_CHARS}}})_sha256:([0-9a-f]{{64}})")


@dataclass(frozen=True, slots=True)
class Token:
    """A key as its holder has it."""

    id: str
    text: str = field(repr=False)

    @property
    def hash(self) -> str:
        """SHA-256 of the text, hexadecimal."""
        return hashlib.sha256(self.text.encode()).hexdigest()


def new_token() -> Token:
    """A key that nobody can guess."""
    key_id = _random(_ID_ALPHABET, ID_CHARS)
    return Token(key_id, f"{PREFIX}{key_id}_{_random(_SECRET_ALPHABET, SECRET_CHARS)}")


def parse_token(text: str) -> Token | None:
    """The key that a text is; None if it has another form."""
    found = _TOKEN.fullmatch(text)
    return None if found is None else Token(found[1], text)


def parse_hashed(text: str) -> tuple[str, str] | None:
    """Id and hash of a key, or of ``skh_<id>_sha256:<hash>``; None if it has another form."""
    if (token := parse_token(text)) is not None:
        return token.id, token.hash
    found = _HASHED.fullmatch(text)
    return None if found is None else (found[1], found[2])


def is_same(hash_given: str, hash_kept: str) -> bool:
    """Whether two hashes are equal, in a time that does not tell how far they are."""
    return hmac.compare_digest(hash_given, hash_kept)


def _random(alphabet: str, length: int) -> str:
    return "".join(secrets.choice(alphabet) for _ in range(length))
