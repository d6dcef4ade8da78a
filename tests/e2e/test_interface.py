"""The OpenAPI document is true: a service that is asked at random answers as it says."""

from pathlib import Path

from fuzzing.api import ask_everything
from local_service import running

EXAMPLES = 4  # of each operation; benchmarks/fuzz.py sends many more


def test_no_answer_is_a_server_error_or_undocumented(
    tmp_path: Path, tiny_bert_folder: Path
) -> None:
    settings = {"SKHOST_BASE": str(tiny_bert_folder)}
    with running("serve", data_dir=tmp_path, settings=settings) as service:
        answers = ask_everything(service.url, EXAMPLES, 0)
    assert answers.server_errors == {}
    assert answers.undocumented == {}
    assert answers.statuses[200] > 10
    assert answers.statuses[422] > 10
