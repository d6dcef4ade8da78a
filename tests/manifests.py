"""What the chart renders, in a form that tests can ask."""

from collections.abc import Callable, Iterator
from typing import Any

import yaml

Document = dict[str, Any]
Render = Callable[..., "Manifests"]


class Refused(Exception):
    """Helm's words on why it does not render."""


class Manifests:
    """What one rendering holds, by kind and by the end of the name."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.documents: list[Document] = [d for d in yaml.safe_load_all(text) if d]

    def get(self, kind: str, suffix: str = "") -> Document:
        """The one document of a kind whose name ends so."""
        found = [d for d in self.of(kind) if d["metadata"]["name"].endswith(suffix)]
        assert len(found) == 1, f"{len(found)} documents {kind} *{suffix}"
        return found[0]

    def of(self, kind: str) -> list[Document]:
        """All documents of a kind."""
        return [d for d in self.documents if d["kind"] == kind]

    def pods(self) -> Iterator[tuple[str, Document]]:
        """Name and pod of everything that makes pods."""
        for document in self.documents:
            if document["kind"] == "Pod":
                yield document["metadata"]["name"], document
            elif "template" in document.get("spec", {}):
                yield document["metadata"]["name"], document["spec"]["template"]

    def container(self, suffix: str) -> Document:
        """The container of the workload whose name ends so."""
        (pod,) = [pod for name, pod in self.pods() if name.endswith(suffix)]
        container: Document = pod["spec"]["containers"][0]
        return container

    def env(self, suffix: str) -> dict[str, Any]:
        """Its environment: value, or where the value comes from."""
        entries = self.container(suffix)["env"]
        names = [entry["name"] for entry in entries]
        assert len(names) == len(set(names)), f"a variable is set twice: {names}"
        return {e["name"]: e.get("value", e.get("valueFrom")) for e in entries}
