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


def test_a_server_that_leaves_refuses_nothing_until_its_drain_begins(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = [100.0]
    monkeypatch.setattr("skhost.drain.time.monotonic", lambda: now[0])
    drain = Drain(timeout_s=5, leave_s=10)
    assert not drain.is_leaving
    drain.active = 1
    drain.begin()
    now[0] = 109.9
    drain.begin()
    assert (drain.is_leaving, drain.is_draining, drain.seconds) == (True, False, 0)
    drain.active = 0
    assert not drain.is_done
    drain.active = 1
    now[0] = 114.9
    assert (drain.is_leaving, drain.is_draining, drain.is_done) == (True, True, False)
    assert drain.seconds == pytest.approx(4.9)
    now[0] = 115.0
    assert drain.is_done


def test_a_server_that_cannot_go_on_does_not_take_the_time_to_leave() -> None:
    drain = Drain(timeout_s=5, leave_s=1000)
    drain.begin()
    assert not drain.is_draining
    drain.begin(at_once=True)
    assert drain.is_done


def test_what_streams_is_not_waited_for() -> None:
    drain = Drain(timeout_s=60)
    drain.active = 1
    drain.begin()
    with drain.streaming():
        assert drain.is_done
    assert not drain.is_done
