"""Where a forward's time goes, by operation: what limits the engine where it is not products."""

from typing import Any

from torch.profiler import ProfilerActivity, profile

from serving_rungs import engine
from serving_rungs.rung import Setting

SHOWN = 8
_PRODUCTS = ("aten::addmm", "aten::mm", "aten::linear", "mkldnn::_linear_pointwise")


def shares(setting: Setting) -> list[dict[str, Any]]:
    """The largest shares of the last load's time; the rest is one row."""
    entrant = list(engine.entrants(setting))[-1]
    numbers = range(len(setting.batches))
    for number in numbers:
        entrant.run(number)  # first use prepares kernels
    with profile(activities=[ProfilerActivity.CPU]) as recorded:
        for number in numbers:
            entrant.run(number)
    times = {event.key: event.self_cpu_time_total for event in recorded.key_averages()}
    total = sum(times.values())
    largest = sorted(times, key=times.__getitem__, reverse=True)[:SHOWN]
    rows = [(name, times[name]) for name in largest]
    rows.append(("all others", total - sum(time for _, time in rows)))
    return [
        {
            "rung": "profile",
            "dataset": setting.dataset,
            "dtype": setting.dtype,
            "operation": name,
            "is_product": name in _PRODUCTS,
            "share": time / total,
        }
        for name, time in rows
    ]
