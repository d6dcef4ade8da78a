"""The method benchmark around its runs: what is planned, kept, chosen and reported."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from contest import ablation, document, plan, rates, search, table, verdict
from contest.cache import Cache
from contest.children import RunFailed, fill
from contest.loop import plan_epochs
from contest.plan import Choice
from contest.rates import ENTRANTS
from contest.run import Outcome, Point, Run

RUN = Run("minilm", "trec", rates.SK_PREFIX, 5e-3, rows=2000, epochs=3)
CUSTOMARY = {("minilm", method): rate for method, rate in plan.customary().items()}


def outcome(run: Run = RUN, score: float = 0.9, curve: tuple[float, ...] = (0.5, 0.9)) -> Outcome:
    """As a run would leave it, one second a point."""
    return Outcome(
        run=run,
        metric="accuracy",
        score=score,
        curve=tuple(Point(i, float(i), value) for i, value in enumerate(curve)),
        seconds=10.0,
        warm_s=1.0,
        steps=100,
        rows_seen=3200,
        train_rows=2000,
        held_out_rows=400,
        test_rows=500,
        trainable=12_345,
        artifact_bytes=1_500_000,
        peak_bytes=800_000_000,
        virtual_tokens=12,
        machine={"cores": 2, "date": "2026-01-02"},
    )


def test_an_outcome_is_kept_under_its_settings(tmp_path: Path) -> None:
    cache = Cache[Run, Outcome](tmp_path / "cache", Outcome.from_json)
    assert cache.get(RUN) is None
    cache.put(outcome())
    assert cache.get(RUN) == outcome()
    assert cache.get(replace(RUN, seed=1)) is None
    assert cache.missing([RUN, replace(RUN, epochs=4)]) == [replace(RUN, epochs=4)]
    assert [path.suffix for path in (tmp_path / "cache").iterdir()] == [".json"]


def test_what_was_run_is_not_run_again_and_a_failure_stops_nothing(tmp_path: Path) -> None:
    runs = [replace(RUN, seed=seed) for seed in range(3)]
    performed: list[int] = []

    def perform(run: Run) -> Outcome:
        performed.append(run.seed)
        if run.seed == 1 and len(performed) < 3:
            raise RunFailed("out of memory")
        return outcome(run)

    said: list[str] = []
    assert fill(Cache[Run, Outcome](tmp_path, Outcome.from_json), runs, perform, said.append) == 1
    assert "out of memory" in said[1]
    assert fill(Cache[Run, Outcome](tmp_path, Outcome.from_json), runs, perform, said.append) == 0
    assert performed == [0, 1, 2, 1]
    assert len(Cache[Run, Outcome](tmp_path, Outcome.from_json).found(runs)) == 3


def test_the_plan_waits_for_the_rates() -> None:
    assert {run.method for run in plan.runs(Choice(), {})} == set()
    planned = list(plan.runs(Choice(), CUSTOMARY))
    assert len({run.key for run in planned}) == len(planned)
    assert {run.method for run in planned} == set(ENTRANTS)
    causal = {run.method for run in planned if run.base == "smollm2"}
    assert rates.OWN_HEAD not in causal
    assert all(run.rows == 500 for run in planned if run.base == "smollm2")


def test_a_choice_narrows_the_plan() -> None:
    choice = Choice(("minilm",), ("mrpc",), (rates.LORA, rates.LOGISTIC), rows=64, epochs=1)
    lora, logistic = plan.runs(choice, CUSTOMARY)
    assert (lora.dataset, lora.method, lora.rows, lora.epochs) == ("mrpc", rates.LORA, 64, 1)
    assert (logistic.method, logistic.epochs) == (rates.LOGISTIC, 0)
    assert {run.method for run in plan.trials(choice)} == {rates.LORA}


def test_without_caps_all_datasets_are_there_with_all_rows() -> None:
    full = list(plan.runs(Choice(("minilm",)), CUSTOMARY, ["ag_news", "cola"]))
    whole = [run for run in full if run.shots is None]
    assert {run.dataset for run in whole} == {"ag_news", "cola"}
    assert {(run.rows, run.held_out) for run in whole} == {(None, None)}


def test_every_method_tries_three_rates_on_trec() -> None:
    trials = list(plan.trials(Choice()))
    assert {run.base for run in trials} == {"minilm"}
    for method, entrant in ENTRANTS.items():
        tried = [run.learning_rate for run in trials if run.method == method]
        assert tried == list(entrant.rates)
        assert len(tried) in (0, 3)


def test_the_best_of_three_rates_is_taken_and_an_end_is_said_to_be_one() -> None:
    low, middle, high = ENTRANTS[rates.LORA].rates
    runs = [replace(RUN, method=rates.LORA, learning_rate=rate) for rate in (low, middle, high)]
    scored = [outcome(run, curve=(0.1, s)) for run, s in zip(runs, (0.7, 0.8, 0.8), strict=True)]
    (trial,) = search.collect(scored)
    assert (trial.best, trial.is_at_the_end) == (middle, False)
    assert search.choose([trial], ["minilm"])["minilm", rates.LORA] == middle
    (unfinished,) = search.collect(scored[:2])
    assert ("minilm", rates.LORA) not in search.choose([unfinished], ["minilm"])
    assert [row["chosen"] for row in search.as_rows([trial])] == [False, True, False]


def test_a_row_of_the_table_is_a_method_over_its_seeds() -> None:
    prefix = replace(RUN, method=rates.PREFIX)
    outcomes = [
        outcome(RUN, 0.80, (0.5, 0.7, 0.9)),
        outcome(replace(RUN, seed=1), 0.84, (0.5, 0.6, 0.6)),
        outcome(prefix, 0.7, (0.4, 0.5, 0.7)),
        outcome(replace(prefix, seed=1), 0.7, (0.4, 0.5, 0.7)),
    ]
    ours, theirs = table.as_rows(outcomes)
    assert (ours["method"], ours["seeds"], ours["mean"]) == ("SK-prefix", 2, 0.82)
    assert ours["sd"] == pytest.approx(0.0283)
    assert (ours["reach_s"], ours["reached"]) == (1.0, "1/2")
    assert (theirs["reach_s"], theirs["reached"]) == (2.0, "2/2")
    assert ours["rows_per_s"] == 320.0


def test_methods_without_steps_and_without_rivals_have_rows_too() -> None:
    run = replace(RUN, method=rates.LOGISTIC, epochs=0, learning_rate=0.0)
    (row,) = table.as_rows([replace(outcome(run), seconds=0.0, rows_seen=0)])
    absent = [row[name] for name in ("sd", "rows_per_s", "reach_s", "reached", "learning_rate")]
    assert absent == [None] * 5


def test_few_rows_get_more_epochs_and_the_logistic_head_none() -> None:
    assert plan_epochs(3, 0, 2000, 32) == 3
    assert plan_epochs(3, 120, 1232, 32) == 4
    assert plan_epochs(3, 120, 32, 32) == 60
    assert plan_epochs(0, 120, 32, 32) == 0


def test_the_page_has_the_figures_the_search_and_the_pictures(tmp_path: Path) -> None:
    logistic = replace(RUN, method=rates.LOGISTIC, epochs=0, learning_rate=0.0)
    outcomes = [outcome(), outcome(replace(RUN, seed=1), 0.8), outcome(logistic, 0.6, (0.5,))]
    tried = [outcome(replace(RUN, learning_rate=r)) for r in ENTRANTS[rates.SK_PREFIX].rates]
    page = tmp_path / "method.md"
    document.write(page, outcomes, search.collect(tried), tried)
    text = page.read_text()
    assert "| SK-prefix | 85.0 ± 7.1 | 12,345 | 10.0 |  | 320.0 | 800 | 1.5 MB | 0.005 |" in text
    assert "**0.015: 90.0**\\*" in text
    assert "cores 2" in text
    assert "2026-01-02" in text
    (picture,) = (tmp_path / "pictures").iterdir()
    assert f"(pictures/{picture.name})" in text
    drawn = picture.read_bytes()
    document.write(page, outcomes, search.collect(tried), tried)
    assert picture.read_bytes() == drawn


def test_the_page_keeps_what_people_wrote(tmp_path: Path) -> None:
    page = tmp_path / "method.md"
    document.write(page, [outcome()], [], [])
    written = "<!-- by hand -->\nLayer mixes did not help.\n<!-- end -->\n"
    text = document.BY_HAND.sub(written, page.read_text(), count=1)
    assert written in text
    page.write_text(text)
    variant = outcome(replace(RUN, variant="low rank 8"), curve=(0.5, 0.8))
    document.write(page, [outcome()], [], [], [outcome(), variant])
    assert written in page.read_text()
    assert "| low rank 8 | -10.0 | 80.0 |" in page.read_text()


def test_methods_are_compared_by_the_seeds_that_both_have() -> None:
    prefix, lora = (replace(RUN, method=method) for method in (rates.PREFIX, rates.LORA))
    elsewhere = [replace(run, dataset="sst2") for run in (RUN, prefix)]
    outcomes = [
        *(outcome(RUN, 0.90), outcome(replace(RUN, seed=1), 0.94)),
        *(outcome(prefix, 0.90), outcome(lora, 0.93)),
        *(outcome(elsewhere[0], 0.80), outcome(elsewhere[1], 0.83)),
    ]
    to_prefix, to_lora = verdict.as_rows(outcomes)
    assert (to_prefix["against"], to_prefix["points"], to_prefix["ahead"]) == (
        *("PREFIX_TUNING", -1.5),
        "1 of 2",
    )
    assert (to_prefix["worst"], to_prefix["where"].split(",")[0]) == (-3.0, "sst2")
    assert (to_lora["points"], to_lora["ahead"]) == (-3.0, "0 of 1")


def test_times_are_compared_to_the_first_point_as_good_as_the_rivals_last() -> None:
    prefix = replace(RUN, method=rates.PREFIX)
    outcomes = [
        outcome(RUN, curve=(0.5, 0.9, 0.9, 0.9)),  # after one second
        outcome(prefix, curve=(0.4, 0.6, 0.8, 0.9, 0.9)),  # after three
        outcome(replace(RUN, seed=1), curve=(0.5, 0.6)),  # never
        outcome(replace(prefix, seed=1), curve=(0.5, 0.7)),
    ]
    assert verdict.time_ratios(outcomes) == [pytest.approx(1 / 3)]
    assert verdict.median_time_ratio(outcomes) == 0.33
    assert verdict.median_time_ratio(outcomes[:1]) is None


def test_a_run_survives_json() -> None:
    assert Outcome.from_json(json.dumps(json.loads(outcome().to_json()))) == outcome()


def test_the_default_stands_beside_what_the_held_out_rows_prefer() -> None:
    slow, few = replace(RUN, variant="rate 0.015"), replace(RUN, variant="x", rows=None, shots=16)
    outcomes = [
        outcome(RUN, 0.90, (0.5, 0.7)),
        outcome(slow, 0.88, (0.5, 0.8)),
        outcome(replace(RUN, variant="rate 0.06"), 0.99, (0.5, 0.6)),
        outcome(few, 0.99, (0.5, 0.99)),
    ]
    planned = list(ablation.Ablation().confirming(outcomes))
    assert planned == [replace(run, seed=seed) for run in (RUN, slow) for seed in (1, 2)]
    more = [
        *(outcome(replace(RUN, seed=1), 0.94, (0.5, 0.95)), outcome(replace(slow, seed=1), 0.98)),
        outcome(replace(RUN, seed=2), 0.10, (0.5, 0.1)),  # the other one's is still missing
    ]
    (row,) = ablation.tuned_rows([*outcomes, *more])
    assert row == {
        "dataset": RUN.dataset,
        "variants": 3,
        "best of held-out rows": "rate 0.015",
        "seeds": 2,
        "default": 92.0,
        "its test": 93.0,
        "default less it": -1.0,
    }
    assert ablation.as_rows([*outcomes, *more])[1]["to default"] == 10.0  # by the seed of all
    assert list(ablation.Ablation().confirming([outcome(RUN)])) == []


def test_where_the_default_loses_a_point_both_are_trained_as_the_product_does() -> None:
    better = replace(RUN, variant="no dropout")
    lost = [outcome(RUN, 0.90), outcome(better, 0.92, (0.5, 0.95))]
    planned = list(ablation.Ablation(confirm=1).as_product(lost))
    assert {(run.variant, run.seed) for run in planned} == {
        (variant, seed) for variant in ("", "no dropout") for seed in (0, 1)
    }
    assert all(run.as_product for run in planned)
    assert {run.key for run in planned}.isdisjoint(o.run.key for o in lost)
    near = [outcome(RUN, 0.91), outcome(better, 0.92, (0.5, 0.95))]
    assert list(ablation.Ablation().as_product(near)) == []
    trained = [outcome(run, 0.9 if run.variant else 0.94 + run.seed / 100) for run in planned]
    alone = outcome(replace(RUN, as_product=True, seed=7))
    assert ablation.product_rows([*trained, alone]) == [
        {
            "dataset": "trec",
            "variant": "no dropout",
            "seeds": 2,
            "default": 94.5,
            "its test": 90.0,
            "default less it": 4.5,
        }
    ]
