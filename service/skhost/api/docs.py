"""GET /docs: the interface as one page that needs nothing from elsewhere."""

import json
from collections.abc import Iterator, Sequence
from html import escape
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

router = APIRouter(include_in_schema=False)

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem }
code, pre { font: 14px/1.4 ui-monospace, monospace }
pre { overflow: auto; padding: .5rem; background: #8881; border-radius: 4px; max-height: 30rem }
summary { cursor: pointer; padding: .4rem 0 } summary b { display: inline-block; min-width: 4.5rem }
table { border-collapse: collapse } td, th { text-align: left; padding: .2rem 1rem .2rem 0;
vertical-align: top } :root { color-scheme: light dark }
"""
_HEADERS = {"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'"}


@router.get("/docs")
async def docs(request: Request) -> HTMLResponse:
    """The interface for people; /openapi.json is the same for programs."""
    return HTMLResponse(page(request.app.openapi()), headers=_HEADERS)


def page(document: dict[str, Any]) -> str:
    """An OpenAPI document as HTML."""
    info = document["info"]
    title = f"{info['title']} {info['version']}"
    body = "".join(_sections(document))
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{escape(title)}</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<style>{_STYLE}</style><h1>{escape(title)}</h1><p>{escape(info['summary'])}</p>"
        f'<p>For programs: <a href="/openapi.json">/openapi.json</a></p>{body}</html>'
    )


def _sections(document: dict[str, Any]) -> Iterator[str]:
    by_tag: dict[str, list[str]] = {}
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            tag = operation.get("tags", ["other"])[0]
            by_tag.setdefault(tag, []).append(_operation(method, path, operation))
    for tag, operations in by_tag.items():
        yield f"<h2>{escape(tag)}</h2>{''.join(operations)}"
    schemas = document.get("components", {}).get("schemas", {})
    yield "<h2>schemas</h2>" + "".join(
        f'<details id="{escape(name)}"><summary><code>{escape(name)}</code></summary>'
        f"{_json(schema)}</details>"
        for name, schema in schemas.items()
    )


def _operation(method: str, path: str, operation: dict[str, Any]) -> str:
    text = operation.get("description", "")
    return (
        f"<details><summary><b>{escape(method.upper())}</b> <code>{escape(path)}</code></summary>"
        f"<p>{escape(text)}</p>{_parameters(operation)}{_body(operation)}"
        f"{_responses(operation)}</details>"
    )


def _parameters(operation: dict[str, Any]) -> str:
    rows = [
        (p["name"], p["in"], "required" if p.get("required") else "", p.get("description", ""))
        for p in operation.get("parameters", ())
    ]
    return _table(("parameter", "in", "", ""), rows)


def _body(operation: dict[str, Any]) -> str:
    content = operation.get("requestBody", {}).get("content", {})
    return "".join(
        f"<p>Body, <code>{escape(kind)}</code>:</p>{_schema(media.get('schema', {}))}"
        for kind, media in content.items()
    )


def _responses(operation: dict[str, Any]) -> str:
    rows = [(status, r.get("description", "")) for status, r in operation["responses"].items()]
    return _table(("answer", ""), rows)


def _schema(schema: dict[str, Any]) -> str:
    if "$ref" in schema:
        name = escape(schema["$ref"].rsplit("/", 1)[1])
        return f'<p><a href="#{name}"><code>{name}</code></a></p>'
    return _json(schema)


def _json(value: Any) -> str:
    return f"<pre>{escape(json.dumps(value, indent=2, ensure_ascii=False))}</pre>"


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    if not rows:
        return ""
    head = "".join(f"<th>{escape(cell)}</th>" for cell in header)
    lines = ("".join(f"<td>{escape(cell)}</td>" for cell in row) for row in rows)
    return f"<table><tr>{head}</tr>{''.join(f'<tr>{line}</tr>' for line in lines)}</table>"
