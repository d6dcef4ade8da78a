"""Where a unix socket can lie: a path that the kernel takes, in a folder only this user enters."""

import os
import stat
import tempfile
from hashlib import sha256
from pathlib import Path
from typing import Final

from skhost.errors import RegistryUnavailable

MAX_BYTES: Final = 103  # sockaddr_un holds 108 on Linux and 104 on macOS, with the final NUL


def socket_path(directory: Path) -> Path:
    """A short path for the server of `directory`; always the same one for the same directory.

    Raises:
        RegistryUnavailable: no folder for it can be made.
    """
    name = sha256(os.fsencode(directory)).hexdigest()[:16] + ".sock"
    places = (os.environ.get("XDG_RUNTIME_DIR"), tempfile.gettempdir(), "/tmp")
    for place in filter(None, places):
        folder = Path(place) / f"skhost-{os.getuid()}"
        if len(os.fsencode(folder / name)) <= MAX_BYTES and _is_private(folder):
            return folder / name
    raise RegistryUnavailable(
        "no private folder for the Valkey socket: XDG_RUNTIME_DIR and the temporary folder are "
        f"not writable, not this user's, or too long (a socket's path has at most {MAX_BYTES} "
        "bytes); set XDG_RUNTIME_DIR or TMPDIR"
    )


def _is_private(folder: Path) -> bool:
    """Make the folder, or see that nobody put another one in its place."""
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
    except OSError:
        return False
    is_ours = stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid()
    return is_ours and not found.st_mode & 0o077 and os.access(folder, os.W_OK | os.X_OK)
