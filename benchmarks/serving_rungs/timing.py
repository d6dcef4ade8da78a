"""Everything of a dataset side by side: each repeat runs every entrant once, on the same batch."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

import torch

from serving_rungs import ceiling
from serving_rungs.rung import Entrant, Rung, Setting

Row = dict[str, Any]


@dataclass(slots=True)
class _Timed:
    setting: Setting
    entrant: Entrant
    seconds: list[float] = field(default_factory=list)


def measure(
    settings: Sequence[Setting], rungs: Sequence[Rung], say: Callable[[str], None]
) -> list[Row]:
    """One row an entrant; all settings have the same batches, and a repeat is a batch."""
    timed = [_Timed(s, e) for s in settings for rung in rungs for e in rung.entrants(s)]
    clock = clock_of(settings[0].classifier.base.device.type)
    for number in range(len(settings[0].batches)):
        say(f"{settings[0].dataset}: repeat {number + 1} of {len(settings[0].batches)}")
        for each in timed:
            began = clock()
            each.entrant.run(number)
            each.seconds.append(clock() - began)
    return [_row(each, timed) for each in timed]


def clock_of(device: str) -> Callable[[], float]:
    """The processor's time where there is one thread: others do not lengthen it."""
    is_alone = device == "cpu" and torch.get_num_threads() == 1
    return time.process_time if is_alone else time.perf_counter


def _row(each: _Timed, all_timed: Sequence[_Timed]) -> Row:
    setting = each.setting
    batches, numbers = setting.batches, range(len(setting.batches))
    tokens = [sum(map(len, batch)) for batch in batches]
    extras = [each.entrant.extra(number) for number in numbers]
    gflop = ceiling.flop_per_token(setting.classifier.base.model) / 1e9
    row: Row = {
        **each.entrant.fields,
        "dataset": setting.dataset,
        "dtype": setting.dtype,
        "repeats": len(batches),
        "rows": median(map(len, batches)),
        "tokens": median(tokens),
        "ms": 1000 * median(each.seconds),
        "rows_per_s": median(len(b) / s for b, s in zip(batches, each.seconds, strict=True)),
        "tokens_per_s": median(t / s for t, s in zip(tokens, each.seconds, strict=True)),
        "gflop_per_s": median(gflop * t / s for t, s in zip(tokens, each.seconds, strict=True)),
    }
    for name in extras[0]:
        row[name] = median(extra[name] for extra in extras)
    return {**row, **dict(_ratios(each, all_timed))}


_RATIOS: Mapping[str, Mapping[str, Any]] = {
    "to_ceiling": {"rung": "ceiling"},
    "to_base": {"rung": "base"},
    "to_one_adapter": {"rung": "engine", "pattern": "one"},
}


def _ratios(each: _Timed, all_timed: Sequence[_Timed]) -> Iterator[tuple[str, float]]:
    """How fast it is beside others of the run: the median over repeats, batch by batch."""
    fields = each.entrant.fields
    for name, wanted in _RATIOS.items():
        found = _find(all_timed, each.setting.dtype, wanted)
        if found is not None and found is not each:
            yield name, _ratio(each, found)
    other = _find(all_timed, "float32", fields)
    if other is not None and each.setting.dtype != "float32":
        yield "to_float32", _ratio(each, other)


def _find(all_timed: Sequence[_Timed], dtype: str, wanted: Mapping[str, Any]) -> _Timed | None:
    for each in all_timed:
        if each.setting.dtype == dtype and wanted.items() <= each.entrant.fields.items():
            return each
    return None


def _ratio(each: _Timed, other: _Timed) -> float:
    return median(o / s for s, o in zip(each.seconds, other.seconds, strict=True))
