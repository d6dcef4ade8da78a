import itertools

from skhost.jobs.line import Line, StopReason, is_kept


def test_unread_steps_give_way_but_evaluations_stay() -> None:
    line = Line()
    line.progress({"step": 1})
    line.progress({"step": 2})
    line.progress({"step": 2, "metrics": {"accuracy": 0.5}})
    line.progress({"step": 3})
    line.progress({"step": 4})
    assert line.take() == [{"step": 2, "metrics": {"accuracy": 0.5}}, {"step": 4}]
    assert line.take() == []


def test_the_beginning_is_told_once() -> None:
    line = Line()
    assert line.take_beginning() == (False, None)
    line.begin(12)
    assert line.take_beginning() == (True, 12)
    assert line.take_beginning()[0] is False


def test_being_stale_outweighs_what_was_asked_before() -> None:
    line = Line()
    assert not line.should_stop()
    line.stop(StopReason.HANDED_BACK)
    line.stop(StopReason.CANCELLED)
    assert str(line.reason) == "handed back"
    line.stop(StopReason.STALE)
    assert str(line.reason) == "stale"
    assert line.should_stop()


def test_a_long_curve_is_thinned_evenly_and_never_outgrows_its_stream() -> None:
    last, kept = -1, []
    for step in range(1, 100_001):
        if is_kept({"step": step, "num_steps": 100_000}, last):
            last = step
            kept.append(step)
    assert kept[0] <= 100
    assert len(kept) <= 1_000
    assert {b - a for a, b in itertools.pairwise(kept)} == {100}
    assert is_kept({"step": 1, "num_steps": 100_000, "metrics": {"accuracy": 1.0}}, last)
    assert is_kept({"step": 7, "num_steps": 10}, 6)
