import pytest
from making import make_adapter

from skhost.parallelism import (
    FIRST_PAUSE_S,
    LAST_PAUSE_S,
    PROVEN,
    ROWS,
    AloneTime,
    Parallelism,
    alone_time,
    look_s,
)
from sktuning.base import FrozenBase
from sktuning.classify import Classifier


class World:
    """What the time is, and whether others compute."""

    def __init__(self) -> None:
        self.now = 100.0
        self.is_free = True
        self.looks = 0

    def look(self) -> bool:
        self.looks += 1
        return self.is_free


def alone_s(tokens: int) -> float:
    return tokens / 1000


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def parallelism(world: World) -> Parallelism:
    return Parallelism(4, alone_s, world.look, lambda: world.now)


def run(parallelism: Parallelism, *seconds: float) -> list[int]:
    """Forwards of 1,000 tokens that take so long; the threads of each."""
    threads = []
    for each in seconds:
        threads.append(parallelism.next())
        parallelism.observe(1000, each)
    return threads


def test_a_forward_has_all_threads_while_they_are_of_use(parallelism: Parallelism) -> None:
    assert run(parallelism, 0.3, 0.9, 2.9, 0.3) == [4, 4, 4, 4]


def test_one_slow_forward_says_nothing(parallelism: Parallelism) -> None:
    assert run(parallelism, 9.0, 0.3, 9.0, 0.3) == [4, 4, 4, 4]


def test_two_behind_each_other_leave_one_thread_until_nobody_else_computes(
    parallelism: Parallelism, world: World
) -> None:
    world.is_free = False
    assert run(parallelism, 9.0, 9.0, 1.0, 1.9) == [4, 4, 1, 1]
    for _ in range(10):
        world.now += FIRST_PAUSE_S
        assert run(parallelism, 1.0, 1.0) == [1, 1]
    assert world.looks == 10
    world.is_free = True
    assert run(parallelism, 1.0) == [1]
    world.now += FIRST_PAUSE_S
    assert run(parallelism, 0.3, 9.0, 0.3) == [4, 4, 4]


def test_where_looks_are_mistaken_they_get_rarer_up_to_a_limit(
    parallelism: Parallelism, world: World
) -> None:
    pause_s = FIRST_PAUSE_S
    for _ in range(8):
        assert run(parallelism, 9.0, 9.0, 1.0) == [4, 4, 1]
        world.now += 0.99 * pause_s
        assert run(parallelism, 1.0) == [1]
        world.now += 0.02 * pause_s
        pause_s = min(2 * pause_s, LAST_PAUSE_S)
    assert pause_s == LAST_PAUSE_S


def test_proven_forwards_forget_the_long_pauses(parallelism: Parallelism, world: World) -> None:
    for pause_s in (FIRST_PAUSE_S, 2 * FIRST_PAUSE_S):
        run(parallelism, 9.0, 9.0)
        world.now += pause_s
    assert run(parallelism, *[0.3] * PROVEN) == [4] * PROVEN
    run(parallelism, 9.0, 9.0)
    world.now += FIRST_PAUSE_S
    assert run(parallelism, 0.3) == [4]


def test_how_slow_depends_on_the_tokens(parallelism: Parallelism) -> None:
    for _ in range(3):
        assert parallelism.next() == 4
        parallelism.observe(10, 0.029)
    for threads in (4, 4, 1):
        assert parallelism.next() == threads
        parallelism.observe(10, 0.031)


def test_a_look_takes_a_moment() -> None:
    assert 0 < look_s() < 5.0


@pytest.mark.parametrize(
    ("tokens", "seconds"), [(1, 0.010), (10, 0.010), (110, 0.060), (210, 0.110), (1010, 0.510)]
)
def test_a_forward_s_time_is_on_a_line(tokens: int, seconds: float) -> None:
    timed = AloneTime([(10, 0.010), (100, 0.5), (210, 0.110)])
    assert timed(tokens) == pytest.approx(seconds)


def test_of_one_timed_forward_larger_ones_take_longer_in_proportion() -> None:
    timed = AloneTime([(10, 3.0)])
    assert [timed(tokens) for tokens in (1, 10, 100)] == pytest.approx([3.0, 3.0, 30.0])


def test_noise_never_makes_a_larger_forward_shorter() -> None:
    assert AloneTime([(10, 0.02), (100, 0.01)])(1000) == 0.02


def test_forwards_of_the_base_are_timed(tiny_bert: FrozenBase) -> None:
    timed = alone_time(Classifier(tiny_bert), make_adapter(tiny_bert)).timed
    assert 1 <= len(timed) <= len(ROWS)
    assert all(seconds > 0 for _, seconds in timed)
    assert [tokens for tokens, _ in timed] == sorted({tokens for tokens, _ in timed})
