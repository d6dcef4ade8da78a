"""The session of a training, as a group of the scheduler: it gives way to those of servers.

Linux shares processors out between sessions first and between the processes of each then, so the
niceness of a training counts for nothing beside a server in another session.
"""

import logging
import os
from contextlib import suppress
from pathlib import Path

log = logging.getLogger(__name__)

GROUP = Path("/proc/self/autogroup")


def give_way(niceness: int, group: Path = GROUP) -> bool:
    """Give this process' whole session a niceness, if it leads one; whether that was done.

    In a session that somebody else leads, a terminal's say, their processes would be slowed down.
    """
    if os.getsid(0) != os.getpid():
        return False
    with suppress(OSError):  # this kernel has no such groups
        group.write_text(str(niceness))
        log.debug("this session gives way: niceness %d", niceness)
        return True
    return False
