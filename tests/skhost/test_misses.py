from skhost.misses import Misses


def test_a_miss_is_remembered_for_a_while() -> None:
    misses = Misses(ttl_s=60)
    assert "a" not in misses
    misses.add("a")
    assert "a" in misses
    assert "b" not in misses


def test_a_miss_expires() -> None:
    misses = Misses(ttl_s=0)
    misses.add("a")
    assert "a" not in misses


def test_the_number_of_keys_is_bounded() -> None:
    misses = Misses(ttl_s=60, max_keys=2)
    for key in "abc":
        misses.add(key)
    assert len(misses) == 2
    assert "c" not in misses


def test_the_expired_make_room() -> None:
    misses = Misses(ttl_s=0, max_keys=2)
    for key in "abc":
        misses.add(key)
    assert len(misses) == 1
