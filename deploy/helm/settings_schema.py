"""settings_schema.py: write the service's settings into the chart's values schema.

Run after a change in the settings; a test says when it is needed.
"""

import json
from pathlib import Path
from typing import Any

from skhost.settings import Settings

SCHEMA = Path(__file__).parent / "skhost" / "values.schema.json"

# What the chart sets itself, each from a value of its own.
MANAGED = frozenset(
    {
        "admin_key",
        "allow_remote",
        "data_dir",
        "drain_timeout_s",
        "host",
        "leave_s",
        "port",
        "redis_url",
        "require_keys",
        "store_url",
    }
)


def settings_schema() -> dict[str, Any]:
    """The schema of `settings`: every field that is not managed, and nothing else."""
    fields = Settings.model_json_schema()["properties"]
    return {
        "description": "Settings of the service, by their names there.",
        "type": "object",
        "additionalProperties": False,
        "properties": {
            name: _field(field) for name, field in sorted(fields.items()) if name not in MANAGED
        },
    }


def _field(field: dict[str, Any]) -> dict[str, Any]:
    """One field without its default: what is not set here is the service's to choose."""
    kept = {key: value for key, value in field.items() if key not in ("default", "title", "anyOf")}
    given = [option for option in field.get("anyOf", []) if option != {"type": "null"}]
    if len(given) > 1:
        raise ValueError(f"a setting of several types needs a schema by hand: {field}")
    return kept | (given[0] if given else {})


def main() -> None:
    """Replace the part of the schema that describes the settings."""
    schema = json.loads(SCHEMA.read_text())
    schema["$defs"]["settings"] = settings_schema()
    SCHEMA.write_text(json.dumps(schema, indent=2) + "\n")


if __name__ == "__main__":
    main()
