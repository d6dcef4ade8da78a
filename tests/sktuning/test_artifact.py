"""Artifacts: what is saved is what is loaded, and nothing else is believed."""

import contextlib
import hashlib
import json
import os
import shutil
import struct
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from making import make_config, make_trained, with_labels

from sktuning import artifact, golden, manifest, served
from sktuning.adapter import Adapter
from sktuning.base import FrozenBase
from sktuning.classify import Classifier
from sktuning.config import Method, Task, TrainingConfig
from sktuning.data import TextInput
from sktuning.decode import decide
from sktuning.errors import ArtifactCorrupt, ArtifactError, SelfTestFailed
from sktuning.heads import Head
from sktuning.state import PromptState
from sktuning.training.progress import TrainedAdapter


@pytest.fixture(scope="module")
def trained(tiny_bert: FrozenBase) -> TrainedAdapter:
    return make_trained(tiny_bert)


@pytest.fixture(scope="module")
def saved(trained: TrainedAdapter, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("artifact") / "saved"
    artifact.save(folder, trained)
    return folder


@pytest.fixture
def copy(saved: Path, tmp_path: Path) -> Path:
    """An artifact of one's own to break."""
    return shutil.copytree(saved, tmp_path / "copy")


def same(one: Adapter, other: Adapter) -> bool:
    pairs = [
        (one.state.tensor, other.state.tensor),
        (one.head.weight, other.head.weight),
        (one.head.bias, other.head.bias),
    ]
    return one.config == other.config and all(
        a.dtype == b.dtype and torch.equal(a, b) for a, b in pairs
    )


def resign(folder: Path) -> None:
    """Make the manifest true of the files again, as someone who means harm would."""
    known = json.loads((folder / "manifest.json").read_bytes())
    for name in [*known["files"]]:
        data = (folder / name).read_bytes()
        known["files"][name] = {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data)}
    with contextlib.suppress(ArtifactCorrupt):  # refused before the digest matters
        known["digest"] = artifact.digest_of(folder)
    (folder / "manifest.json").write_text(json.dumps(known))


def edit_json(folder: Path, name: str, **changes: Any) -> None:
    values = json.loads((folder / name).read_bytes())
    (folder / name).write_text(json.dumps({**values, **changes}))


def replace_tensors(folder: Path, **tensors: torch.Tensor | None) -> None:
    """Other tensors under a true manifest; double underscores stand for dots, None removes."""
    data = (folder / manifest.MODEL).read_bytes()
    known = served.parse_tensors(data, manifest.MODEL)
    for name, tensor in tensors.items():
        known.pop(name.replace("__", "."), None)
        if tensor is not None:
            known[name.replace("__", ".")] = tensor
    (folder / manifest.MODEL).write_bytes(served.tensor_bytes(known))
    resign(folder)


# what is saved is what is loaded


@pytest.mark.parametrize("task", list(Task))
@pytest.mark.parametrize("method", list(Method))
def test_what_was_saved_is_loaded(
    tiny_bert: FrozenBase, tmp_path: Path, task: Task, method: Method
) -> None:
    made = make_trained(tiny_bert, task, method=method)
    digest = artifact.save(tmp_path / "a", made)
    loaded = artifact.load(tmp_path / "a")
    assert same(loaded, made.adapter)
    assert digest == artifact.digest_of(tmp_path / "a") == artifact.verify(tmp_path / "a")
    assert artifact.read_config(tmp_path / "a") == made.adapter.config
    artifact.self_test(tmp_path / "a", loaded, Classifier(tiny_bert))


def test_a_causal_base_and_pairs(tiny_gpt2: FrozenBase, tmp_path: Path) -> None:
    made = make_trained(
        tiny_gpt2, is_pair=True, pair_template="{text} / {text_pair}", method=Method.SK_PROMPT
    )
    artifact.save(tmp_path / "a", made)
    loaded = artifact.load(tmp_path / "a")
    assert same(loaded, made.adapter)
    artifact.self_test(tmp_path / "a", loaded, Classifier(tiny_gpt2))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_the_states_dtype_is_kept_and_heads_stay_float32(
    trained: TrainedAdapter, tmp_path: Path, dtype: torch.dtype
) -> None:
    made = replace(trained, adapter=trained.adapter.to("cpu", dtype))
    artifact.save(tmp_path / "a", made)
    assert same(artifact.load(tmp_path / "a"), made.adapter)
    assert artifact.load(tmp_path / "a").head.weight.dtype == torch.float32
    widened = artifact.load(tmp_path / "a", dtype=torch.float32)
    assert widened.state.tensor.dtype == torch.float32
    known = json.loads((tmp_path / "a" / "manifest.json").read_bytes())
    assert known["dtype"] == golden.dtype_name(dtype)


def test_what_was_trained_can_be_trained_on(saved: Path, trained: TrainedAdapter) -> None:
    tensors = artifact.load_training(saved)
    assert tensors.keys() == trained.trainable.keys()
    assert all(torch.equal(tensors[n], t) for n, t in trained.trainable.items())


def test_an_artifact_without_trainable_tensors(trained: TrainedAdapter, tmp_path: Path) -> None:
    artifact.save(tmp_path / "a", replace(trained, trainable={}))
    assert artifact.load_training(tmp_path / "a") == {}
    artifact.verify(tmp_path / "a")


def test_an_artifact_has_exactly_the_files_it_may_have(saved: Path) -> None:
    assert {path.name for path in saved.iterdir()} == artifact.FILES


def test_the_digest_is_of_what_is_served(
    trained: TrainedAdapter, tiny_bert: FrozenBase, tmp_path: Path
) -> None:
    digest = artifact.save(tmp_path / "a", trained)
    slower = replace(trained, seconds=99.0, trainable={}, metrics={"accuracy": 0.1})
    assert artifact.save(tmp_path / "b", slower) == digest
    other = with_labels(trained, ("bad", "good", "mixed"))
    assert artifact.save(tmp_path / "c", other) != digest
    assert artifact.save(tmp_path / "d", make_trained(tiny_bert, seed=1)) != digest


_TEXT = st.text(st.characters(exclude_categories=[]), max_size=20)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    labels=st.lists(_TEXT, min_size=2, max_size=5, unique=True),
    prompt=_TEXT,
    sizes=st.tuples(*[st.integers(1, 3)] * 3),
    temperature=st.floats(1e-2, 1e2),
    seed=st.integers(0, 2**31),
)
def test_any_adapter_survives_the_round_trip(
    tmp_path_factory: pytest.TempPathFactory,
    labels: list[str],
    prompt: str,
    sizes: tuple[int, int, int],
    temperature: float,
    seed: int,
) -> None:
    layers, heads, width = sizes
    config = make_config(
        labels=tuple(labels), prompt_text=prompt, temperature=temperature, seed=seed
    )
    generator = torch.Generator().manual_seed(seed)
    state = PromptState(kv=torch.randn(layers, 2, heads, 3, width, generator=generator))
    head = Head(torch.randn(len(labels), width), torch.randn(len(labels)))
    adapter = Adapter(config, state, head)
    row = golden.GoldenRow(TextInput("text"), labels[0], torch.randn(len(labels)).numpy())
    folder = tmp_path_factory.mktemp("trip") / "a"
    digest = artifact.save(folder, _made_of(adapter, row))
    assert same(artifact.load(folder), adapter)
    assert artifact.verify(folder) == digest


def _made_of(adapter: Adapter, row: golden.GoldenRow) -> TrainedAdapter:
    return TrainedAdapter(
        adapter, {"accuracy": 1.0}, "accuracy", 1.0, golden.Golden("float32", (row,)), {},
        TrainingConfig(), dict.fromkeys(adapter.config.labels, 1), 1, 1, 0, 1, 1, 0.1, (),
    )  # fmt: skip


# written whole or not at all


def test_saving_again_replaces_the_artifact(
    trained: TrainedAdapter, tiny_bert: FrozenBase, tmp_path: Path
) -> None:
    artifact.save(tmp_path / "a", make_trained(tiny_bert, seed=1))
    digest = artifact.save(tmp_path / "a", trained)
    assert artifact.verify(tmp_path / "a") == digest
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_an_empty_folder_is_filled(trained: TrainedAdapter, tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    artifact.save(tmp_path / "a", trained)
    artifact.verify(tmp_path / "a")


def test_a_folder_of_other_things_is_left_alone(trained: TrainedAdapter, tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "thesis.txt").write_text("years of work")
    with pytest.raises(ArtifactError, match="is not an artifact"):
        artifact.save(folder, trained)
    assert [path.name for path in folder.iterdir()] == ["thesis.txt"]
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_a_failed_write_leaves_nothing(
    trained: TrainedAdapter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        artifact.save(tmp_path / "a", trained)
    assert list(tmp_path.iterdir()) == []


def test_what_could_not_be_loaded_is_not_saved(trained: TrainedAdapter, tmp_path: Path) -> None:
    bad = Head(torch.full_like(trained.adapter.head.weight, torch.nan), trained.adapter.head.bias)
    made = replace(trained, adapter=replace(trained.adapter, head=bad))
    with pytest.raises(ArtifactCorrupt, match=r"head\.weight.*not finite"):
        artifact.save(tmp_path / "a", made)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", sorted(artifact.FILES))
def test_an_artifact_with_a_file_missing_is_refused(copy: Path, name: str) -> None:
    (copy / name).unlink()
    for read in (artifact.load, artifact.read_config, artifact.verify):
        with pytest.raises(ArtifactCorrupt, match=name if name == "manifest.json" else "names"):
            read(copy)


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ArtifactCorrupt, match="no artifact at"):
        artifact.load(tmp_path / "nowhere")
    (tmp_path / "file").write_text("x")
    with pytest.raises(ArtifactCorrupt, match="no artifact at"):
        artifact.load(tmp_path / "file")


# nothing else is believed


def test_extra_files_folders_and_links_are_refused(copy: Path, tmp_path: Path) -> None:
    (copy / "code.py").write_text("print()")
    with pytest.raises(ArtifactCorrupt, match=r"'code\.py' does not belong"):
        artifact.load(copy)
    (copy / "code.py").unlink()
    (copy / "README.md").unlink()
    (copy / "README.md").mkdir()
    with pytest.raises(ArtifactCorrupt, match=r"README\.md is a link or not a plain file"):
        artifact.load(copy)


@pytest.mark.parametrize("name", sorted(artifact.FILES))
def test_links_are_not_followed(copy: Path, tmp_path: Path, name: str) -> None:
    (copy / name).rename(tmp_path / "elsewhere")
    (copy / name).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ArtifactCorrupt, match="link"):
        artifact.load(copy)
    with pytest.raises(ArtifactCorrupt, match="cannot be opened"):
        manifest.read_bounded(copy, name)


def test_a_named_pipe_does_not_block(copy: Path) -> None:
    (copy / "README.md").unlink()
    os.mkfifo(copy / "README.md")
    with pytest.raises(ArtifactCorrupt, match="not a plain file"):
        artifact.verify(copy)
    with pytest.raises(ArtifactCorrupt, match="not a plain file"):
        manifest.read_bounded(copy, "README.md")


def test_a_file_beyond_its_limit_is_refused_unread(copy: Path) -> None:
    with (copy / manifest.MODEL).open("r+b") as file:
        file.truncate(manifest.LIMITS[manifest.MODEL] + 1)  # sparse: takes no room
    with pytest.raises(ArtifactCorrupt, match="at most 536870912"):
        artifact.load(copy)
    with (copy / "manifest.json").open("r+b") as file:
        file.truncate(manifest.LIMITS["manifest.json"] + 1)
    with pytest.raises(ArtifactCorrupt, match="larger than"):
        manifest.read_bounded(copy, "manifest.json")


@pytest.mark.parametrize("name", sorted(artifact.FILES - {"manifest.json"}))
def test_a_changed_byte_is_seen(copy: Path, name: str) -> None:
    data = bytearray((copy / name).read_bytes())
    data[len(data) // 2] ^= 1
    (copy / name).write_bytes(data)
    with pytest.raises(ArtifactCorrupt, match=f"{name} has .* the manifest says"):
        artifact.verify(copy)


def test_a_wrong_digest_is_seen(copy: Path) -> None:
    edit_json(copy, "manifest.json", digest="sha256:" + "1" * 64)
    for read in (artifact.load, artifact.verify):
        with pytest.raises(ArtifactCorrupt, match="the manifest says digest sha256:1111"):
            read(copy)


def test_a_wrong_dtype_is_seen(copy: Path) -> None:
    edit_json(copy, "manifest.json", dtype="bfloat16")
    with pytest.raises(ArtifactCorrupt, match=r"says bfloat16, the prompt state is torch\.float32"):
        artifact.load(copy)


@pytest.mark.parametrize(
    ("change", "seen"),
    [
        ({"format": 9}, "format 9"),
        ({"digest": "md5:1"}, "not a digest"),
        ({"digest": None}, "not a digest"),
        ({"dtype": 1}, "dtype or files missing"),
        ({"files": []}, "dtype or files missing"),
        ({"files": {}}, "does not name"),
        ({"files": {"../evil": {}}}, r"names '\.\./evil'"),
        ({"files": {"manifest.json": {}}}, "which no artifact has"),
        ({"files": {"README.md": {"sha256": "x", "size": 1}}}, "the record of README"),
        ({"files": {"README.md": {"sha256": "0" * 64, "size": 1.5}}}, "the record of README"),
        ({"files": {"README.md": 5}}, "the record of README"),
    ],
)
def test_hostile_manifests_are_refused(copy: Path, change: dict[str, Any], seen: str) -> None:
    edit_json(copy, "manifest.json", **change)
    with pytest.raises(ArtifactCorrupt, match=seen):
        artifact.load(copy)


@pytest.mark.parametrize(
    "change",
    [
        {"format": 2},
        {"format": "1"},
        {"task": "poetry"},
        {"task": 5},
        {"method": "lora"},
        {"labels": "abc"},
        {"labels": ["a", "a", "b"]},
        {"labels": ["a", ["b"], "c"]},
        {"labels": ["a", "b"]},  # the head has three outputs
        {"labels": ["a", "b", "c" * 5000]},
        {"labels": []},
        {"base": "bert"},
        {"base": {"name": "bert"}},
        {"base": {"name": "bert", "digest": ""}},
        {"base": {"name": "bert", "digest": "a b"}},
        {"base": {"name": ["bert"], "digest": "a"}},
        {"base": {"name": "bert", "digest": "a", "url": "http://x"}},
        {"rank": 0},
        {"rank": "8"},
        {"rank": True},
        {"rank": 8.5},
        {"num_virtual_tokens": 7},
        {"num_virtual_tokens": -1},
        {"num_virtual_tokens": 10**9},
        {"seed": 2**63},
        {"seed": -1},
        {"prompt_text": 5},
        {"prompt_text": "a" * 5000},
        {"is_pair": "yes"},
        {"is_pair": 1},
        {"temperature": 0},
        {"temperature": 1e-300},
        {"temperature": "hot"},
        {"temperature": True},
        {"thresholds": [0.5]},
        {"thresholds": [0.1, 2, 0.5]},
        {"thresholds": ["a", "b", "c"]},
        {"thresholds": 0.5},
        {"risk_levels": [{"risk": 0.1, "threshold": 2, "coverage": 0.5}]},
        {"risk_levels": [{"risk": 0.1, "threshold": 0.5}]},
        {"risk_levels": [[0.1, 0.5, 0.5]]},
        {"pair_template": "{text.__class__} {text_pair}"},
        {"pair_template": "{text:>999999999} {text_pair}"},
        {"pair_template": "{text!r} {text_pair}"},
        {"pair_template": "{text} {text_pair} {0}"},
        {"pair_template": "{text"},
        {"pair_template": "{text}"},
        {"pooling": "max"},
        {"start": None},
        {"trust_remote_code": True},
    ],
)
def test_hostile_configurations_are_refused(copy: Path, change: dict[str, Any]) -> None:
    edit_json(copy, manifest.CONFIG, **change)
    resign(copy)
    with pytest.raises(ArtifactCorrupt):
        artifact.load(copy)
    with pytest.raises(ArtifactCorrupt):
        artifact.verify(copy)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "null",
        "{",
        '{"a": 1, "a": 2}',
        '{"temperature": NaN}',
        '{"temperature": 1e999}',
        '{"temperature": -Infinity}',
        '{"a": ' * 20 + "1" + "}" * 20,
        '{"a": ' + "[" * 100_000,
        '{"seed": ' + "9" * 10_000 + "}",
        '"' + '\\"' * 100_000,
        "\\" * 1000,
    ],
)
def test_hostile_json_is_refused(copy: Path, text: str) -> None:
    (copy / manifest.CONFIG).write_text(text)
    resign(copy)
    with pytest.raises(ArtifactCorrupt, match=r"adapter_config\.json"):
        artifact.load(copy)


def test_text_that_is_not_utf8_is_refused(copy: Path) -> None:
    (copy / manifest.CONFIG).write_bytes(b'{"task": "\xff"}')
    resign(copy)
    with pytest.raises(ArtifactCorrupt, match="not usable JSON"):
        artifact.load(copy)


KV_SHAPE = (2, 2, 4, 3, 8)  # of the tiny base and a prompt of three tokens


@pytest.mark.parametrize(
    ("tensors", "seen"),
    [
        ({"prompt__kv": None}, "not what a sk-prefix has"),
        ({"head__bias": None}, "not what a sk-prefix has"),
        ({"extra": torch.ones(1)}, "not what a sk-prefix has"),
        ({"prompt__kv": None, "prompt__embeds": torch.ones(3, 32)}, "not what a sk-prefix has"),
        ({"prompt__kv": torch.ones(2, 2, 4, 4, 8)}, "3 virtual tokens"),
        ({"prompt__kv": torch.ones(2, 3, 4, 3, 8)}, "3 virtual tokens"),
        ({"prompt__kv": torch.ones(2, 2, 4, 3)}, "3 virtual tokens"),
        ({"prompt__kv": torch.ones(0, 2, 4, 3, 8)}, "3 virtual tokens"),
        ({"head__weight": torch.ones(2, 32)}, "3 outputs"),
        ({"head__weight": torch.ones(3)}, "3 outputs"),
        ({"head__bias": torch.ones(3, 1)}, "3 outputs"),
        ({"head__weight": torch.ones(3, 32).bfloat16()}, "heads are F32"),
        ({"head__weight": torch.ones(3, 32).double()}, "dtype 'F64'"),
        ({"head__bias": torch.ones(3, dtype=torch.int32)}, "dtype 'I32'"),
        ({"head__bias": torch.tensor([0.0, 1.0, torch.inf])}, "not finite"),
        ({"prompt__kv": torch.full(KV_SHAPE, torch.nan)}, "not finite"),
        ({f"t{i}": torch.ones(1) for i in range(5000)}, "at most 4096"),
    ],
)
def test_tensors_that_do_not_fit_the_configuration_are_refused(
    copy: Path, tensors: dict[str, torch.Tensor | None], seen: str
) -> None:
    replace_tensors(copy, **tensors)
    with pytest.raises(ArtifactCorrupt, match=seen):
        artifact.load(copy)


def header(values: Any, body: bytes = b"", length: int | None = None) -> bytes:
    text = values if isinstance(values, bytes) else json.dumps(values).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + body


def entry(shape: list[Any], offsets: list[Any], dtype: Any = "F32") -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets}


@pytest.mark.parametrize(
    ("data", "seen"),
    [
        (b"", "adapter_model"),
        (b"abc", "adapter_model"),
        (header({}, length=1 << 60), "claims 1152921504606846976 bytes"),
        (header({}, length=500), "ends within its header"),
        (header(b"{" * 50), "nested more than"),
        (header([1]), "not a JSON object"),
        (header({"a": 5}), "dtype, shape and data_offsets expected"),
        (header({"a": {**entry([1], [0, 4]), "x": 1}}, b"0000"), "dtype, shape"),
        (header({"a": entry([1], [0, 4], ["F32"])}, b"0000"), "has dtype"),
        (header({"a": entry([1 << 50], [0, 4])}, b"0000"), "has the shape"),
        (header({"a": entry([1 << 39, 1 << 39], [0, 4])}, b"0000"), "does not fill"),
        (header({"a": entry([-1], [0, 4])}, b"0000"), "has the shape"),
        (header({"a": entry([True], [0, 4])}, b"0000"), "has the shape"),
        (header({"a": entry([1] * 9, [0, 4])}, b"0000"), "has the shape"),
        (header({"a": entry([1], [0, 4, 8])}, b"0000"), "has the offsets"),
        (header({"a": entry([1], [4, 0])}, b"0000"), "does not fill"),
        (header({"a": entry([1], [4, 8])}, b"00000000"), "leave a gap"),
        (header({"a": entry([1], [0, 4]), "b": entry([1], [0, 4])}, b"0000"), "overlap"),
        (header({"a": entry([1], [0, 4])}, b"0000payload"), "its tensors end at"),
        (header({"a": entry([2], [0, 8])}, b"0000"), "its tensors end at"),
    ],
)
def test_hostile_headers_are_refused(copy: Path, data: bytes, seen: str) -> None:
    (copy / manifest.MODEL).write_bytes(data)
    resign(copy)
    with pytest.raises(ArtifactCorrupt, match=seen):
        artifact.load(copy)
    (copy / manifest.MODEL).write_bytes(served.tensor_bytes({"a": torch.ones(1)}))
    (copy / manifest.TRAINING).write_bytes(data)
    resign(copy)
    with pytest.raises(ArtifactCorrupt):
        artifact.load_training(copy)


def test_hostile_golden_rows_are_refused_by_verify_and_self_test(
    copy: Path, tiny_bert: FrozenBase
) -> None:
    edit_json(copy, manifest.GOLDEN, rows=[])
    resign(copy)
    adapter = artifact.load(copy)  # does not need them
    with pytest.raises(ArtifactCorrupt, match="between 1 and 64 rows"):
        artifact.verify(copy)
    with pytest.raises(ArtifactCorrupt, match="between 1 and 64 rows"):
        artifact.self_test(copy, adapter, Classifier(tiny_bert))


def test_tensors_of_another_training_fail_the_self_test(copy: Path, tiny_bert: FrozenBase) -> None:
    replace_tensors(copy, head__bias=torch.tensor([50.0, -50.0, 0.0]))
    with pytest.raises(SelfTestFailed, match="golden row"):
        artifact.self_test(copy, artifact.load(copy), Classifier(tiny_bert))


def test_the_card_of_labels_that_no_encoding_has(trained: TrainedAdapter, tmp_path: Path) -> None:
    artifact.save(tmp_path / "a", with_labels(trained, ("\ud800", "b", "c")))
    assert artifact.read_config(tmp_path / "a").labels[0] == "\ud800"
    (tmp_path / "a" / "README.md").read_text(encoding="utf-8")


def test_the_golden_answers_are_the_adapters(saved: Path, trained: TrainedAdapter) -> None:
    rows = artifact.load_golden(saved).rows
    assert [row.answer for row in rows] == [
        decide(trained.adapter.config, row.logits) for row in trained.golden.rows
    ]
