"""Which runs there are: the trials that choose the learning rates, and the contest itself."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from contest import rates
from contest.bases import MINILM, NAMES, SMOLLM2
from contest.rates import ENTRANTS
from contest.run import HELD_OUT, POINTS, Run
from sktuning.config import FEW_STEPS

Rates = Mapping[tuple[str, str], float]  # by base and method

SEARCH_DATASET, SEARCH_ROWS, SEARCH_EPOCHS = "trec", 1000, 3
_ON_CAUSAL = (rates.SK_PREFIX, rates.SK_PROMPT, rates.PREFIX, rates.LORA, rates.LOGISTIC)
_IN_FEW = (*_ON_CAUSAL, rates.PROMPT)
_FEW_SEEDS = {"trec": 3, "sst2": 3, "banking77": 1}
_ENCODERS_ONLY = frozenset({rates.OWN_HEAD})
# one seed says enough of what takes long
_ONCE = frozenset({rates.FULL, rates.OWN_HEAD, rates.PROMPT, rates.P_TUNING})
_SIDE = (rates.PROMPT_WORDS, rates.OWN_HEAD, rates.FULL)  # beside the contest proper: two datasets


@dataclass(frozen=True, slots=True)
class Part:
    """Runs of the same size on one base.

    Attributes:
        datasets: names, each with its number of seeds.
        rows, epochs, shots, min_steps, held_out, points: as of a `Run`.
    """

    base: str
    datasets: Mapping[str, int]
    methods: tuple[str, ...]
    rows: int | None
    epochs: int
    shots: int | None = None
    min_steps: int = 0
    held_out: int | None = HELD_OUT
    points: int = POINTS


@dataclass(frozen=True, slots=True)
class Choice:
    """What of the plan is wanted; None: all of it.

    Attributes:
        rows, epochs: instead of the plan's own, for a short look, which has no few-shot part.
        seeds: at most.
        dtype: of the frozen bases.
    """

    bases: tuple[str, ...] = NAMES
    datasets: tuple[str, ...] | None = None
    methods: tuple[str, ...] | None = None
    rows: int | None = None
    epochs: int | None = None
    seeds: int | None = None
    dtype: str = "bfloat16"

    def wants(self, method: str, dataset: str | None = None) -> bool:
        """Whether the method, and the dataset where one is given, were asked for."""
        wanted = None in (dataset, self.datasets) or dataset in (self.datasets or ())
        return wanted and (self.methods is None or method in self.methods)

    def wants_part(self, part: "Part") -> bool:
        """Whether the part makes sense with the rows that were asked for."""
        return self.rows is None or part.shots is None

    def sized(self, run: Run) -> Run:
        """The run with the rows and epochs that were asked for."""
        rows = run.rows if self.rows is None else self.rows
        # the logistic head has no epochs, however many are asked for
        epochs = self.epochs if self.epochs and run.epochs else run.epochs
        steps = 0 if self.epochs else run.min_steps
        return replace(run, rows=rows, epochs=epochs, min_steps=steps, dtype=self.dtype)


def parts(bases: Iterable[str], datasets: Sequence[str] | None = None) -> Iterator[Part]:
    """The plan, base by base.

    Args:
        datasets: all that there are, for runs without caps; None: the plan for a processor.
    """
    for base in bases:
        methods = tuple(m for m in ENTRANTS if base != SMOLLM2 or m not in _ENCODERS_ONLY)
        if datasets is not None:
            seeds = dict.fromkeys(datasets, 3)
            yield Part(base, seeds, methods, rows=None, epochs=3, held_out=None)
            yield Part(base, _FEW_SEEDS, methods, None, epochs=3, shots=16, min_steps=FEW_STEPS)
        elif base == SMOLLM2:
            # a tenth of the other base's speed: fewer of everything
            seeds = {"trec": 1, "sst2": 1}
            yield Part(base, seeds, _ON_CAUSAL, rows=500, epochs=2, held_out=100, points=4)
        else:
            yield from _on_processor(base)


def _on_processor(base: str) -> Iterator[Part]:
    """What two cores can do in some hours."""
    seeds = {"trec": 3, "sst2": 3, "banking77": 1, "mrpc": 1, "stsb": 1, "wnut17": 1}
    methods = tuple(m for m in ENTRANTS if m not in _SIDE)
    yield Part(base, seeds, methods, rows=2000, epochs=3)
    yield Part(base, {"trec": 1, "sst2": 1}, _SIDE, rows=2000, epochs=3)
    yield Part(base, _FEW_SEEDS, _IN_FEW, rows=None, epochs=3, shots=16, min_steps=FEW_STEPS)


def trials(choice: Choice) -> Iterator[Run]:
    """Three runs a method, alike but for the learning rate."""
    for base in dict.fromkeys(search_base(base) for base in choice.bases):
        for method, entrant in ENTRANTS.items():
            if choice.wants(method):
                for rate in entrant.rates:
                    yield choice.sized(_trial(base, method, rate))


def runs(choice: Choice, chosen: Rates, datasets: Sequence[str] | None = None) -> Iterator[Run]:
    """The contest, as far as the rates are chosen."""
    for part in filter(choice.wants_part, parts(choice.bases, datasets)):
        for dataset, seeds in part.datasets.items():
            for method in part.methods:
                rate = chosen.get((search_base(part.base), method))
                if rate is not None and choice.wants(method, dataset):
                    for seed in range(min(_seeds(part, method, seeds), choice.seeds or seeds)):
                        yield choice.sized(_run(part, dataset, method, rate, seed))


def search_base(base: str) -> str:
    """The base whose trials decide: the default one's hold for the causal one, too."""
    return MINILM if base in NAMES else base


def customary() -> dict[str, float]:
    """Every method's middle rate, for a look without trials."""
    return {method: entrant.customary for method, entrant in ENTRANTS.items()}


def _trial(base: str, method: str, rate: float) -> Run:
    """Judged once, at the end, by all held-out rows: a choice among close ones wants many."""
    rows, epochs = SEARCH_ROWS, SEARCH_EPOCHS
    return Run(base, SEARCH_DATASET, method, rate, rows, epochs, held_out=None, points=1)


def _run(part: Part, dataset: str, method: str, rate: float, seed: int) -> Run:
    own = ENTRANTS[method].epochs
    return Run(
        part.base,
        dataset,
        method,
        rate,
        rows=part.rows,
        epochs=part.epochs if own is None else own,
        shots=part.shots,
        min_steps=part.min_steps,
        seed=seed,
        held_out=part.held_out,
        points=part.points,
    )


def _seeds(part: Part, method: str, planned: int) -> int:
    """One where nothing is random, and for some methods."""
    is_fixed = method == rates.LOGISTIC and part.shots is None
    return 1 if is_fixed or method in _ONCE else planned
