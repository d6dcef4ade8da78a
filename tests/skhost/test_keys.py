import inspect

from skhost.keys import Keys


def _all_keys(keys: Keys) -> dict[str, str]:
    methods = inspect.getmembers(Keys, inspect.isfunction)
    found = {}
    for name, method in methods:
        if not name.startswith("_"):
            arguments = ["x"] * (len(inspect.signature(method).parameters) - 1)
            found[name] = method(keys, *arguments)
    return found


def test_every_key_carries_the_tenant() -> None:
    keys = _all_keys(Keys("acme"))
    assert len(keys) >= 20
    assert all(key.startswith("skhost:acme:") for key in keys.values())


def test_no_two_keys_collide() -> None:
    keys = _all_keys(Keys())
    assert len(set(keys.values())) == len(keys)


def test_every_key_says_its_type_and_how_long_it_lives() -> None:
    for name in _all_keys(Keys()):
        doc = inspect.getdoc(getattr(Keys, name))
        assert doc is not None
        if name != "train_queue":
            kinds = ("Hash", "String", "Sorted set", "Stream", "Pub/sub")
            assert doc.startswith(kinds), name
            assert any(w in doc for w in ("Stays", "TTL_S", "Until", "Nothing is kept")), name
