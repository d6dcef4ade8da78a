"""The race of training loops by its command: all take part, in both formats."""

import json
from pathlib import Path

from running_benchmark import run_benchmark


def test_every_loop_takes_its_steps(tmp_path: Path, tiny_bert_folder: Path) -> None:
    folder = tmp_path / "data" / "trec"
    folder.mkdir(parents=True)
    rows = [
        {"text": f"the text {i} is {w}", "label": w} for i in range(200) for w in ("good", "bad")
    ]
    (folder / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    figures = tmp_path / "figures.json"
    places = ("--data", folder.parent, "--base", tiny_bert_folder, "--json", figures)
    done = run_benchmark("training", *places, "--only", "trec", "--steps", "2")
    assert (done.returncode, done.stderr) == (0, "")
    told = json.loads(figures.read_text())
    loops = {(row["what"], row["dtype"]) for row in told}
    names = ("padded reference", "sktuning", "matrix products alone")
    assert loops == {(name, dtype) for name in names for dtype in ("float32", "bfloat16")}
    assert all(row["rows_per_s"] > 0 and row["steps"] == 2 for row in told)
