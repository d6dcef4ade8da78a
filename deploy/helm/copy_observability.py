"""copy_observability.py: put the dashboards and alert rules of deploy/observability into the chart.

A chart holds only what lies in its own folder. Run after a change there; a test says when.
"""

import shutil
from pathlib import Path

import yaml

SOURCE = Path(__file__).parents[1] / "observability"
FILES = Path(__file__).parent / "skhost" / "files"


def wanted(source: Path) -> dict[str, Path]:
    """Every file of the chart's `files`, and what it is a copy of."""
    dashboards = sorted(source.rglob("*.json"))
    rules = [path for path in sorted(source.rglob("*.y*ml")) if _holds_rules(path)]
    return {f"dashboards/{path.name}": path for path in dashboards} | {
        f"rules/{path.stem}.yaml": path for path in rules
    }


def _holds_rules(path: Path) -> bool:
    content = yaml.safe_load(path.read_text())
    return isinstance(content, dict) and "groups" in content


def main() -> None:
    """Replace the copies."""
    shutil.rmtree(FILES, ignore_errors=True)
    for name, path in wanted(SOURCE).items():
        (FILES / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, FILES / name)


if __name__ == "__main__":
    main()
