"""A server whose device thread gets stuck for good once it serves: a program for tests.

python failing_server.py PORT BASE DATA_DIR
"""

import asyncio
import sys
import threading
import time
from pathlib import Path

from skhost.app import create_app
from skhost.cli.serve import run_server
from skhost.server import bind
from skhost.settings import Settings


def main(port: str, base: str, data_dir: str) -> None:
    """Serve, and let the device thread sleep as soon as there is one."""
    settings = Settings(
        base=base, data_dir=Path(data_dir), stuck_after_s=0.5, drain_timeout_s=1, threads=1
    )
    app = create_app(settings)

    def stick() -> None:
        while not hasattr(app.state, "services"):
            time.sleep(0.01)
        runner = app.state.services.engine.runner
        asyncio.run(runner.call(time.sleep, 3600))

    threading.Thread(target=stick, daemon=True).start()
    run_server(app, bind("127.0.0.1", int(port)))


if __name__ == "__main__":
    main(*sys.argv[1:])
