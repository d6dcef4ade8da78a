"""The real helm, and what it renders."""

import subprocess
from pathlib import Path

import pytest
import yaml
from manifests import Document, Manifests, Refused, Render

ROOT = Path(__file__).parents[2]
CHART = ROOT / "deploy" / "helm" / "skhost"
HELM = ROOT / ".tools" / "bin" / "helm"


@pytest.fixture(scope="session")
def helm_home(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """An environment in which helm leaves nothing in the user's folders."""
    home = tmp_path_factory.mktemp("helm")
    folders = {f"HELM_{part}_HOME": str(home / part) for part in ("CACHE", "CONFIG", "DATA")}
    return folders | {"KUBECONFIG": "/dev/null", "PATH": "/usr/bin:/bin"}


@pytest.fixture(scope="session")
def render(helm_home: dict[str, str]) -> Render:
    """Render the chart: `render("--set", "a=b", release="rel", values={...})`."""
    if not HELM.exists():
        pytest.skip("helm is not in .tools: run `make deploy-check`, which installs it")

    def run(*arguments: str, release: str = "rel", values: Document | None = None) -> Manifests:
        chart = [str(HELM), "template", release, str(CHART), "--namespace", "prod", "--values", "-"]
        done = subprocess.run(
            [*chart, *arguments],
            input=yaml.safe_dump(values or {}),
            env=helm_home,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise Refused(done.stderr)
        return Manifests(done.stdout)

    return run


@pytest.fixture(scope="session")
def defaults(render: Render) -> Manifests:
    """The chart with no values given."""
    return render()


@pytest.fixture(scope="session")
def chart_values() -> Document:
    """values.yaml."""
    values: Document = yaml.safe_load((CHART / "values.yaml").read_text())
    return values
