"""Writes the pages of docs/ that the code can tell by itself.

python docs/generate.py           write them
python docs/generate.py --check   say which are out of date and exit with 1
"""

import argparse
import ast
import sys
import types
import typing
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

from annotated_types import BaseMetadata
from families import families
from page import page, table
from prometheus_client import CollectorRegistry
from pydantic import SecretStr
from pydantic.fields import FieldInfo

import skhost.errors
from skhost.errors import ServiceError
from skhost.settings import PREFIX, Settings

HERE = Path(__file__).parent


def pages() -> dict[str, Callable[[], str]]:
    """Every generated page: its file name and what makes it."""
    return {
        "configuration.md": configuration,
        "errors.md": errors,
        "cli.md": command_line,
        "metrics.md": metrics,
        "http.md": http,
        "modules.md": modules,
        "bases.md": families,
    }


def main(arguments: Sequence[str]) -> int:
    """Write or check the pages; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--check", action="store_true", help="write nothing")
    check = parser.parse_args(arguments).check
    stale = [name for name, make in pages().items() if not _is_current(HERE / name, make(), check)]
    for name in stale:
        sys.stdout.write(f"docs/{name} {'is out of date: run make docs' if check else 'written'}\n")
    return 1 if check and stale else 0


def _is_current(path: Path, text: str, check: bool) -> bool:
    if path.is_file() and path.read_text(encoding="utf-8") == text:
        return True
    if not check:
        path.write_text(text, encoding="utf-8")
    return False


# configuration


def configuration() -> str:
    """Every setting, from the fields of `Settings`."""
    rows = [
        (f"`{PREFIX}{name.upper()}`", _type(field), _default(field.default), field.description)
        for name, field in Settings.model_fields.items()
    ]
    return page(
        "Configuration",
        f"Every setting is an environment variable with the prefix `{PREFIX}`; `skhost up`, "
        "`skhost serve` and `skhost worker` read them once, at the start. Options of the command "
        "line go before variables. A value that cannot be used, or a name that is no setting, "
        "stops the start with one line that says so.\n\n"
        "Commands that use a server find it by `--url` or `SKHOST_URL` "
        "(default `http://127.0.0.1:8080`).",
        table(("variable", "type", "default", "meaning"), rows),
    )


def _type(field: FieldInfo) -> str:
    name = _type_name(field.annotation)
    bounds = " ".join(filter(None, (_bound(constraint) for constraint in field.metadata)))
    return f"{name} {bounds}".strip()


def _type_name(annotation: Any) -> str:
    if typing.get_origin(annotation) is Literal:
        return ", ".join(f"`{value}`" for value in typing.get_args(annotation))
    if isinstance(annotation, types.UnionType):
        kinds = [kind for kind in typing.get_args(annotation) if kind is not types.NoneType]
        return " or ".join(map(_type_name, kinds))
    names = {str: "text", int: "integer", float: "number", bool: "true or false", Path: "path"}
    names[SecretStr] = "text, never shown"
    return names[annotation]


def _bound(constraint: BaseMetadata | Any) -> str | None:
    signs = {"gt": "\\>", "ge": "≥", "lt": "\\<", "le": "≤"}
    for name, sign in signs.items():
        if (value := getattr(constraint, name, None)) is not None:
            return f"{sign} {value}"
    pattern = getattr(constraint, "pattern", None)
    return f"matching `{pattern}`" if pattern else None


def _default(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, int) and value >= 1 << 20 and value % (1 << 20) == 0:
        return f"`{value}` ({value >> 20} MiB)"
    return f"`{value}`"


# errors


def errors() -> str:
    """Every error code, from the classes of `skhost.errors`."""
    from skhost.api.errors import _HTTP_CODES

    own = [(kind.status, kind.code, _sentence(kind)) for kind in error_classes()]
    plain = [
        (status, code, "The HTTP request itself is wrong: its path, method, type or size.")
        for status, code in _HTTP_CODES.items()
        if (status, code) not in {(s, c) for s, c, _ in own}
    ]
    last = [(500, "internal", "A fault of the server; its log has it under the request's id.")]
    rows = [(str(s), f"`{c}`", text) for s, c, text in sorted({*own, *plain, *last})]
    return page(
        "Errors",
        "Every error has the same body. `code` is for programs and stays the same between "
        "versions; `message` is for people: what was seen, and what to do about it. `request_id` "
        "is the one in the header `X-Request-ID` and in the server's log. `details` is there "
        "where a program can use more. Errors that pass by themselves carry `Retry-After`.\n\n"
        '```json\n{"error": {"code": "adapter_not_found", "message": "…", "request_id": "…", '
        '"details": {"near": ["sentiment"]}}}\n```\n\n'
        "An error of one item of a batch stands in that item's place, as "
        '`{"error": {"code", "message"}}`, and the other items are answered. Its `code` is '
        "`invalid_input` or `input_too_long`. A failed training has its error in the job, with a "
        "code of the table, `training_died` when its process was killed too often, or the name of "
        "an error of the library, as `unsupported_base`.",
        table(("status", "code", "meaning"), rows),
    )


def error_classes() -> list[type[ServiceError]]:
    """The errors that the service answers with; others derive from them for their own use."""
    kinds = [kind for kind in vars(skhost.errors).values() if isinstance(kind, type)]
    return [k for k in kinds if issubclass(k, ServiceError) and k is not ServiceError]


def _sentence(thing: Any) -> str:
    """The first sentence of a docstring, on one line."""
    text = " ".join((thing.__doc__ or "").split("\n\n")[0].split())
    return text if text.endswith((".", "!", "?")) else f"{text}."


# command line


def command_line() -> str:
    """Every command with its arguments and options, from the command line's own tree."""
    from skhost.cli.app import build

    return page(
        "Command line",
        "`skhost --help` and `skhost COMMAND --help` show the same. Results go to stdout, anything "
        "else to stderr. `--json` and `--url` may stand before or after the command. An error is "
        "one line on stderr and an exit code other than 0.",
        *(_command(path, command) for path, command in _commands(build(), ("skhost",))),
    )


def _commands(command: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    children = getattr(command, "commands", None)
    if children is None:
        yield path, command
        return
    for name, child in children.items():
        yield from _commands(child, (*path, name))


def _command(path: tuple[str, ...], command: Any) -> str:
    parameters = [p for p in command.params if not getattr(p, "hidden", False)]
    usage = " ".join((*path, *(_usage(p) for p in parameters if _is_shown(p))))
    rows = [(f"`{_spelling(p)}`", p.help or "", _option_default(p)) for p in parameters]
    options = table(("", "meaning", "default"), rows) if rows else ""
    return f"## `{' '.join(path)}`\n\n{command.help}\n\n```\n{usage}\n```\n\n{options}".rstrip()


def _is_shown(parameter: Any) -> bool:
    """Whether a parameter belongs in the usage line: arguments and required options do."""
    return bool(parameter.param_type_name == "argument" or parameter.required)


def _usage(parameter: Any) -> str:
    name = parameter.name.upper()
    if parameter.param_type_name == "option":
        return f"{parameter.opts[0]} {name}"
    many = f"{name}…" if parameter.nargs == -1 else name
    return many if parameter.required else f"[{many}]"


def _spelling(parameter: Any) -> str:
    if parameter.param_type_name == "argument":
        return str(parameter.name.upper())
    return ", ".join(parameter.opts)


def _option_default(parameter: Any) -> str:
    if isinstance(parameter.show_default, str):
        return f"`{parameter.show_default}`"
    if parameter.default in (None, False):
        return "required" if parameter.required else ""
    return f"`{parameter.default}`"


# metrics


def metrics() -> str:
    """Every metric, from a registry that the service's metrics were put into."""
    from skhost.metrics import Metrics

    registry = CollectorRegistry()
    Metrics(registry)
    rows = [
        (f"`{_exposed(family)}`", family.type, _labels(registry, family.name), family.documentation)
        for family in sorted(registry.collect(), key=lambda family: family.name)
    ]
    return page(
        "Metrics",
        "`GET /metrics` answers in the format of Prometheus. A histogram has the usual `_bucket`, "
        "`_sum` and `_count`; `process_…` tell of the process. "
        "[Observability](observability.md) says how to read them.",
        table(("metric", "type", "labels", "meaning"), rows),
    )


def _exposed(family: Any) -> str:
    return f"{family.name}_total" if family.type == "counter" else str(family.name)


def _labels(registry: CollectorRegistry, name: str) -> str:
    collector: Any = registry._names_to_collectors[name]
    return ", ".join(f"`{label}`" for label in collector._labelnames)


# http


def http() -> str:
    """Every route, from the application's OpenAPI document."""
    from skhost.app import create_app

    schema = create_app(Settings()).openapi()
    operations = [
        (path, method.upper(), operation)
        for path, methods in schema["paths"].items()
        for method, operation in methods.items()
    ]
    rows = [
        (f"`{method} {path}`", operation.get("description", operation["summary"]))
        for path, method, operation in operations
    ]
    bodies = [
        _body(f"{method} {path}", operation, schema)
        for path, method, operation in operations
        if "requestBody" in operation
    ]
    return page(
        "HTTP",
        "A running server shows the same at `/docs`, and as an OpenAPI document at "
        "`/openapi.json`. [Errors](errors.md) have one body.",
        table(("request", "what it does"), rows),
        *filter(None, bodies),
    )


def _body(title: str, operation: dict[str, Any], schema: dict[str, Any]) -> str:
    """The fields of a request's body; empty if it has none."""
    kind, content = next(iter(operation["requestBody"]["content"].items()))
    body = _resolved(content.get("schema", {}), schema)
    fields = body.get("properties", {})
    if not fields:
        return ""
    required = set(body.get("required", ()))
    rows = [
        (
            f"`{name}`",
            _json_type(_resolved(field, schema)),
            "required" if name in required else _json_default(field),
            field.get("description", ""),
        )
        for name, field in fields.items()
    ]
    return f"## `{title}`\n\nBody: `{kind}`.\n\n" + table(
        ("field", "type", "default", "meaning"), rows
    )


def _resolved(node: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    if "$ref" not in node:
        return node
    found: dict[str, Any] = schema["components"]["schemas"][node["$ref"].rsplit("/", 1)[1]]
    return found


def _json_type(field: dict[str, Any]) -> str:
    if "anyOf" in field:
        kinds = [_json_type(kind) for kind in field["anyOf"] if kind.get("type") != "null"]
        return " or ".join(kinds)
    if "enum" in field:
        return ", ".join(f"`{value}`" for value in field["enum"])
    if "const" in field:
        return f"`{field['const']}`"
    if field.get("type") == "array":
        return f"list of {_json_type(field.get('items', {}))}".removesuffix(" of ")
    return str(field.get("format", "")) or str(field.get("type", ""))


def _json_default(field: dict[str, Any]) -> str:
    default = field.get("default")
    return "" if default is None else f"`{str(default).lower()}`"


# modules


def modules() -> str:
    """Every module with the first sentence of its docstring."""
    packages = [HERE.parent / "adapters" / "sktuning", HERE.parent / "service" / "skhost"]
    return page(
        "Modules",
        "What each file is for, from its own first line. "
        "[Architecture](architecture.md) has the way through them.",
        *(part for package in packages for part in _package(package)),
    )


def _package(package: Path) -> Iterator[str]:
    folders = sorted({path.parent for path in package.rglob("*.py")})
    for folder in folders:
        rows = [(f"`{path.name}`", _purpose(path)) for path in sorted(folder.glob("*.py"))]
        kept = [row for row in rows if row[1]]
        if kept:
            title = f"## `{folder.relative_to(HERE.parent)}/`"
            yield f"{title}\n\n{table(('module', 'what it is for'), kept)}"


def _purpose(path: Path) -> str:
    docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    return " ".join((docstring or "").split("\n\n")[0].split())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
