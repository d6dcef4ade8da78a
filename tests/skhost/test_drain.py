"""When a draining server may stop."""

import pytest

from skhost.drain import Drain


def test_a_server_that_is_not_draining_is_never_done() -> None:
    assert not Drain(timeout_s=0).is_done


def test_it_is_done_when_nothing_is_being_answered() -> None:
    drain = Drain(timeout_s=60)
    drain.active = 1
    drain.begin()
    assert drain.is_draining
    assert not drain.is_done
    drain.active = 0
    assert drain.is_done


def test_it_is_done_when_its_time_is_up_and_beginning_twice_does_not_prolong_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = [100.0]
    monkeypatch.setattr("skhost.drain.time.monotonic", lambda: now[0])
    drain = Drain(timeout_s=5)
    drain.active = 1
    drain.begin()
    now[0] = 104.9
    drain.begin()
    assert not drain.is_done
    now[0] = 105.0
    assert drain.is_done


def test_what_streams_is_not_waited_for() -> None:
    drain = Drain(timeout_s=60)
    drain.active = 1
    drain.begin()
    with drain.streaming():
        assert drain.is_done
    assert not drain.is_done
