"""health.py server [URL] | worker: exit code 0 if this container's process does its work.

The server is asked for /readyz. A worker has no port: its heartbeat in Redis is looked for.
"""

import http.client
import os
import socket
import sys
import time
from urllib.parse import urlsplit

TIMEOUT_S = 4.0
HEARTBEAT_S = 60.0  # a worker that was silent for so long is stuck


def server_problem(url: str) -> str | None:
    """What is wrong with the server at a URL. Goes there directly, whatever proxies are set."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.netloc, timeout=TIMEOUT_S)
    try:
        connection.request("GET", "/readyz")
        answer = connection.getresponse()
        return None if answer.status == 200 else f"{answer.status}: {answer.read(500)!r}"
    except (OSError, http.client.HTTPException) as error:
        return f"no answer from {url}: {error!r}"
    finally:
        connection.close()


def worker_problem(host: str, now: float) -> str | None:
    """What is wrong with the worker on a host, by its heartbeat."""
    from redis import Redis, RedisError

    from skhost.keys import CommonKeys
    from skhost.settings import Settings

    settings = Settings()
    if settings.redis_url is None:
        return "SKHOST_REDIS_URL is not set"
    key = CommonKeys().workers()
    try:
        with Redis.from_url(settings.redis_url, socket_timeout=TIMEOUT_S) as client:
            beats = client.zrange(key, "-inf", "+inf", byscore=True, withscores=True)
    except RedisError:
        # A worker waits for its registry to come back; killing it would not bring that about.
        return None
    mine = [beat for name, beat in beats if name.decode().startswith(f"{host}-")]
    if mine and now - max(mine) <= HEARTBEAT_S:
        return None
    return f"no heartbeat of a worker on {host} within {HEARTBEAT_S:.0f} s"


def main() -> int:
    """Check what the arguments say."""
    role = sys.argv[1] if len(sys.argv) > 1 else "server"
    if role == "worker":
        problem = worker_problem(socket.gethostname(), time.time())
    else:
        own = f"http://127.0.0.1:{os.environ.get('SKHOST_PORT', '8080')}"
        problem = server_problem(sys.argv[2] if len(sys.argv) > 2 else own)
    if problem is not None:
        sys.stderr.write(f"{problem}\n")
    return 0 if problem is None else 1


if __name__ == "__main__":
    sys.exit(main())
