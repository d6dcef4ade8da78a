"""Keys as text, and their records."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from skhost.access.record import USERS, Caller, KeyRecord, KeyState, Quotas, Scope, check_rate
from skhost.access.token import new_token, parse_hashed, parse_token
from skhost.jobs.launch import training_environment
from skhost.settings import Settings
from skhost.supervise import child_environment


def test_keys_differ_and_are_recognised() -> None:
    tokens = [new_token() for _ in range(200)]
    assert len({token.id for token in tokens}) == len({token.hash for token in tokens}) == 200
    for token in tokens:
        assert parse_token(token.text) == token
        hidden = f"skh_{token.id}_sha256:{token.hash}"
        assert parse_hashed(token.text) == parse_hashed(hidden) == (token.id, token.hash)
        assert parse_token(hidden) is None, "a hash opens nothing"
        assert token.text.split("_")[2] not in repr(token)


@given(st.text(max_size=80))
def test_other_texts_are_no_keys(text: str) -> None:
    assert parse_token(text) is None
    assert parse_hashed(text) is None


def test_a_record_survives_storing_and_shows_no_hash() -> None:
    record = KeyRecord(
        *("a" * 12, "f" * 64, "acme", frozenset({Scope.TRAIN, Scope.CLASSIFY})),
        name="shop",
        expires_at=5.0,
        quotas=Quotas("1/second", None),
    )
    assert KeyRecord.from_json(record.to_json()) == record
    assert "f" * 64 not in f"{record}{record.to_dict()}"
    assert (record.state(4.0), record.state(5.0)) == (KeyState.ACTIVE, KeyState.EXPIRED)


def test_admin_includes_the_rest_and_nothing_else_does() -> None:
    for scope in Scope:
        caller = Caller("t", frozenset({scope}))
        assert [caller.may([asked]) for asked in Scope] == [
            scope in (asked, Scope.ADMIN) for asked in Scope
        ]
        assert caller.may(USERS) == (scope is not Scope.METRICS)


@pytest.mark.parametrize("text", ["5", "0/second", "5/week", "5 per day", "-1/day", "1/day\n"])
def test_other_bounds_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="600/minute"):
        check_rate(text)
    with pytest.raises(ValidationError, match="600/minute"):
        Settings(key_requests=text)


def test_the_admin_key_stays_where_it_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    key = new_token().text
    monkeypatch.setenv("SKHOST_ADMIN_KEY", key)
    settings = Settings()
    assert key not in f"{settings!r}{settings.model_dump_json()}"
    assert child_environment(settings, "unix://x")["SKHOST_ADMIN_KEY"] == key
    assert "SKHOST_ADMIN_KEY" not in training_environment(settings)
