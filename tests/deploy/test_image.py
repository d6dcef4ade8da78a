"""Image, compose file and chart agree with each other and with the service."""

import asyncio
import importlib.util
import re
import shlex
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from manifests import Document, Manifests

from skhost.access.entrance import KeysNeeded, check_has_keys
from skhost.settings import Settings

ROOT = Path(__file__).parents[2]
DOCKERFILE = (ROOT / "Dockerfile").read_text()
COMPOSE: Document = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
OURS = ("api", "worker")


def instructions() -> list[tuple[str, str]]:
    """The Dockerfile's instructions, continued lines joined, comments left out."""
    lines = [line for line in DOCKERFILE.splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n", " ", "\n".join(lines))
    pairs = (line.split(maxsplit=1) for line in joined.splitlines() if line.strip())
    return [(pair[0], pair[1]) for pair in pairs]


def last_stage() -> list[tuple[str, str]]:
    """The instructions of the stage that everything in the image comes from."""
    found = instructions()
    start = next(
        i for i, (word, rest) in enumerate(found) if word == "FROM" and rest.endswith(" AS runtime")
    )
    return found[start:]


def image_environment() -> dict[str, str]:
    settings = (word for name, rest in last_stage() if name == "ENV" for word in shlex.split(rest))
    return dict(word.split("=", 1) for word in settings)


def one(name: str) -> str:
    (found,) = [rest for word, rest in last_stage() if word == name]
    return found


def ours(environment: Any) -> set[str]:
    return {n.removeprefix("SKHOST_").lower() for n in environment if n.startswith("SKHOST_")}


def requirements_module() -> Any:
    path = ROOT / "deploy" / "image" / "requirements.py"
    spec = importlib.util.spec_from_file_location("image_requirements", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_image_needs_no_frontend_from_a_registry() -> None:
    assert "# syntax" not in DOCKERFILE.lower()


def test_the_image_sets_only_settings() -> None:
    assert ours(image_environment()) <= set(Settings.model_fields)


def test_the_image_alone_does_not_listen_to_the_world(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name, value in image_environment().items():
        if name.startswith("SKHOST_"):
            monkeypatch.setenv(name, value)
    monkeypatch.setenv("SKHOST_DATA_DIR", str(tmp_path))
    with pytest.raises(KeysNeeded, match="SKHOST_ALLOW_REMOTE=true"):
        asyncio.run(check_has_keys(Settings()))
    monkeypatch.setenv("SKHOST_ALLOW_REMOTE", "true")
    asyncio.run(check_has_keys(Settings()))
    assert Settings().port == int(one("EXPOSE"))


def test_the_image_installs_the_pinned_versions_of_all_that_the_project_needs() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    found = requirements_module().requirements(ROOT / "pyproject.toml", ["gguf"])
    extra = project["optional-dependencies"]["gguf"]
    assert found == [*project["dependencies"], *extra]
    assert "PIP_CONSTRAINT=/build/constraints.txt" in DOCKERFILE


def test_the_image_takes_its_wheels_by_the_hashes_of_the_pinned_versions() -> None:
    lines = (ROOT / "constraints.txt").read_text().lower().splitlines()
    pinned = {re.sub("[_.](?=.*==)", "-", line) for line in lines}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    parts = {"skhost": project["dependencies"], **project["optional-dependencies"]}
    without_hash = {"torch", "seqeval"}
    for part, requirements in parts.items():
        text = (ROOT / "deploy" / "image" / "locked" / f"{part}.txt").read_text()
        pins = re.findall(r"^(([\w.-]+)==\S+) \\\n +--hash=sha256:[0-9a-f]{64}", text, re.MULTILINE)
        assert {pin for pin, _ in pins} <= pinned
        asked = {re.match(r"[\w-]+", line)[0] for line in requirements}  # type: ignore[index]
        assert asked - without_hash <= {name for _, name in pins}
    assert "--require-hashes" in DOCKERFILE


def test_the_image_holds_a_list_of_its_packages_made_of_what_is_installed() -> None:
    made = next(rest for word, rest in instructions() if word == "RUN" and "cyclonedx-py" in rest)
    assert "/opt/skhost/bin/python" in made.split()
    assert any("sbom.cdx.json" in rest for word, rest in last_stage() if word == "COPY")
    pins = (ROOT / "deploy" / "image" / "sbom.txt").read_text().splitlines()
    assert all("==" in line for line in pins if not line.startswith("#"))


def test_an_extra_that_does_not_exist_is_refused() -> None:
    with pytest.raises(KeyError, match="ggfu"):
        requirements_module().requirements(ROOT / "pyproject.toml", ["ggfu"])


def test_what_the_image_is_built_from_reaches_the_builder() -> None:
    rules = (ROOT / ".dockerignore").read_text().splitlines()
    kept = {rule[1:] for rule in rules if rule.startswith("!")}
    assert "*" in rules
    sources = [
        source
        for word, rest in instructions()
        if word == "COPY" and "--from" not in rest
        for source in rest.split()[:-1]
    ]
    mounted = re.findall(r"--mount=type=bind,source=([^,]+),", DOCKERFILE)
    for source in {*sources, *mounted}:
        assert (ROOT / source).exists(), source
        assert any(source == k or source.startswith(f"{k}/") for k in kept), source


def test_user_port_and_signal_are_the_same_everywhere(defaults: Manifests) -> None:
    assert one("USER") == "10001:10001"
    assert one("STOPSIGNAL") == "SIGTERM"
    for name in OURS:
        (pod,) = [pod for pod_name, pod in defaults.pods() if pod_name.endswith(name)]
        security = pod["spec"]["securityContext"]
        assert f"{security['runAsUser']}:{security['runAsGroup']}" == one("USER")
        assert defaults.env(name)["SKHOST_PORT"] == one("EXPOSE")
        assert defaults.env(name)["SKHOST_DATA_DIR"] == one("VOLUME")
    (published,) = COMPOSE["services"]["api"]["ports"]
    assert published == f"127.0.0.1:${{PORT:-8080}}:{one('EXPOSE')}"


def test_compose_and_chart_run_the_same_commands(defaults: Manifests) -> None:
    for name, command in (("api", ["serve"]), ("worker", ["worker"])):
        assert COMPOSE["services"][name]["command"] == command
        assert defaults.container(name)["args"] == command
    assert one("ENTRYPOINT") == '["skhost"]'


def test_compose_and_chart_run_the_same_valkey(defaults: Manifests, chart_values: Document) -> None:
    service = COMPOSE["services"]["valkey"]
    container = defaults.container("valkey")
    assert service["image"] == container["image"]
    given = chart_values["valkey"]["image"]
    assert service["image"] == f"{given['repository']}:{given['tag']}"
    assert service["healthcheck"]["test"][1:] == container["readinessProbe"]["exec"]["command"]
    assert set(service["command"]) <= set(container["args"])


def test_the_worker_is_watched_in_the_same_way_everywhere(defaults: Manifests) -> None:
    service = COMPOSE["services"]["worker"]
    probe = defaults.container("worker")["livenessProbe"]["exec"]["command"]
    assert service["healthcheck"]["test"][1:] == probe


def test_compose_sets_only_settings() -> None:
    for name in OURS:
        assert ours(COMPOSE["services"][name]["environment"]) <= set(Settings.model_fields)


def test_composes_variables_make_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {**image_environment(), **COMPOSE["services"]["api"]["environment"]}.items():
        monkeypatch.setenv(name, value)
    assert Settings().redis_url == "redis://valkey:6379/0"
    assert str(Settings().data_dir) == "/data"


@pytest.mark.parametrize("name", [*OURS, "valkey"])
def test_every_service_of_compose_is_hardened(name: str) -> None:
    service = COMPOSE["services"][name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["healthcheck"]["test"][0] == "CMD"
    published = service.get("ports", [])
    assert all(port.startswith("127.0.0.1:") for port in published)
    assert bool(published) is (name == "api")


def test_compose_waits_for_valkey_and_gives_the_drain_its_time() -> None:
    for name in OURS:
        service = COMPOSE["services"][name]
        assert service["depends_on"] == {"valkey": {"condition": "service_healthy"}}
        grace_s = int(service["stop_grace_period"].removesuffix("s"))
        assert grace_s >= int(service["environment"]["SKHOST_DRAIN_TIMEOUT_S"]) + 10


def test_server_and_worker_share_the_data_volume() -> None:
    assert COMPOSE["services"]["api"]["volumes"] == ["data:/data"]
    assert COMPOSE["services"]["worker"]["volumes"] == ["data:/data"]
    assert set(COMPOSE["volumes"]) == {"data", "valkey", "prometheus", "grafana"}
