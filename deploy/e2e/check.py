"""check.py: the built image alone, then the compose file, as a user would run them.

Talks to the engine of DOCKER_HOST. Prints each thing that holds, ends at the first that does not,
and writes its figures to FIGURES.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
SCRATCH = Path(os.environ["SCRATCH"])
DOCKER = "/usr/bin/docker"
COMPOSE = (str(ROOT / ".tools/bin/docker-compose"), "-f", str(ROOT / "docker-compose.yml"))
IMAGE = "skhost:cpu"
URL = "http://127.0.0.1:8080"
HARDENED = (
    *("--network", "none", "--read-only", "--cap-drop", "ALL", "--memory", "3g"),
    *("--security-opt", "no-new-privileges", "--tmpfs", "/tmp:mode=1777"),
)
HEALTH = ("python", "/opt/skhost/health.py", "server")
INSTALLED = """
from importlib.metadata import distributions
for each in distributions():
    print(each.name.lower(), each.version)
"""
READY_S = 180.0
TRAINING_S = 900.0
Done = subprocess.CompletedProcess[str]
TOUR = re.compile(r"^<!-- tour -->\n```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)


class CheckFailed(Exception):
    """Something does not hold."""


class Figures:
    """What was measured, in the order in which it was."""

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []

    def add(self, what: str, value: float, unit: str) -> None:
        """Keep a figure and show it."""
        self.rows.append({"what": what, "value": round(value, 1), "unit": unit})
        say(f"{what}: {value:.1f} {unit}")

    @contextmanager
    def seconds(self, what: str) -> Iterator[None]:
        """Measure the block."""
        started = time.monotonic()
        yield
        self.add(what, time.monotonic() - started, "s")


def say(text: str) -> None:
    sys.stdout.write(f"ok  {text}\n")
    sys.stdout.flush()


def require(holds: bool, what: str, seen: object = "") -> None:
    if not holds:
        raise CheckFailed(f"{what} does not hold; seen: {seen}")
    say(what)


def run(*command: str, check: bool = True, timeout: float = 300, cwd: Path = ROOT) -> Done:
    try:
        done = subprocess.run(
            command, cwd=cwd, capture_output=True, text=True, check=False, timeout=timeout
        )
    except subprocess.TimeoutExpired as error:
        said = (error.stdout or b"").decode(errors="replace")[-2000:]
        raise CheckFailed(f"{' '.join(command)}: not within {timeout:.0f} s\n{said}") from error
    if check and done.returncode != 0:
        raise CheckFailed(f"{' '.join(command)}: {done.returncode}\n{done.stdout}{done.stderr}")
    return done


def docker(*arguments: str, **options: Any) -> Done:
    return run(DOCKER, *arguments, **options)


def compose(*arguments: str, **options: Any) -> Done:
    return run(*COMPOSE, *arguments, **options)


def inspect(kind: str, name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(docker(kind, "inspect", name).stdout)[0]
    return found


def wait_until(holds: Callable[[], bool], limit_s: float, what: str) -> None:
    deadline = time.monotonic() + limit_s
    while not holds():
        if time.monotonic() > deadline:
            raise CheckFailed(f"{what}: not within {limit_s:.0f} s")
        time.sleep(0.2)


# the image


def check_image(figures: Figures) -> None:
    found = inspect("image", IMAGE)
    figures.add("image", found["Size"] / 1e6, "MB")
    base = next(line for line in dockerfile() if line.startswith("ARG BASE_IMAGE="))
    figures.add("of it the base image", inspect("image", base.split("=", 1)[1])["Size"] / 1e6, "MB")
    figures.add("build, without a network", float((SCRATCH / "build_seconds").read_text()), "s")
    config = found["Config"]
    require(config["User"] == "10001:10001", "the image's user is 10001", config["User"])
    require(config["StopSignal"] == "SIGTERM", "it is stopped by SIGTERM")
    require("curl" not in str(config["Healthcheck"]), "its health check needs no curl")


def check_sbom() -> None:
    """The list of packages in the image names each installed one, in its version."""
    reading = ("run", "--rm", "--network", "none", "--entrypoint")
    listed = docker(*reading, "cat", IMAGE, "/opt/skhost/sbom.cdx.json").stdout
    names = {(c["name"].lower(), c["version"]) for c in json.loads(listed)["components"]}
    shown = docker(*reading, "python", IMAGE, "-c", INSTALLED).stdout
    installed = {tuple(line.split()) for line in shown.splitlines()}
    missing = installed - names - {one for one in installed if one[0] == "skhost"}
    require(not missing, f"its SBOM names all {len(installed)} installed packages", missing)


def dockerfile() -> list[str]:
    return (ROOT / "Dockerfile").read_text().splitlines()


def check_refusal() -> None:
    done = docker("run", "--rm", *HARDENED, IMAGE, check=False)
    require(done.returncode != 0, "alone it refuses to listen to the world")
    lines = done.stderr.strip().splitlines()
    require(len(lines) == 1 and "SKHOST_ALLOW_REMOTE" in lines[0], "it says why in one line", lines)


def check_alone(figures: Figures) -> None:
    name = "alone"
    remote = ("--env", "SKHOST_ALLOW_REMOTE=true")
    with figures.seconds("start to ready, read-only and without a network"):
        docker("run", "--detach", "--name", name, *HARDENED, *remote, "-v", "alone:/data", IMAGE)
        wait_until(lambda: is_ready(name), READY_S, "ready")
    wait_until(lambda: health(name) == "healthy", 60, "healthy")
    say("the engine calls it healthy")
    check_inside(name)
    figures.add("memory when ready", memory(name) / 1e6, "MB")
    with figures.seconds("stop"):
        docker("stop", "--time", "60", name)
    code = inspect("container", name)["State"]["ExitCode"]
    require(code == 0, "it ends with exit code 0", code)
    docker("rm", "--volumes", name)
    docker("volume", "rm", "alone")


def is_ready(name: str) -> bool:
    if not inspect("container", name)["State"]["Running"]:
        raise CheckFailed(f"{name} ended: {docker('logs', name).stderr[-3000:]}")
    return docker("exec", name, *HEALTH, check=False).returncode == 0


def health(name: str) -> str:
    return str(inspect("container", name)["State"]["Health"]["Status"])


def memory(name: str) -> float:
    """Bytes that the container's processes hold: anonymous memory, without files in the cache."""
    shown = docker("exec", name, "cat", "/proc/1/smaps_rollup", check=False).stdout
    found = re.search(r"^Rss:\s+(\d+) kB", shown, re.MULTILINE)
    if found is None:
        raise CheckFailed(f"no memory figure of {name}: {shown}")
    return int(found[1]) * 1024.0


def check_inside(name: str) -> None:
    inside = ("exec", name)
    require(docker(*inside, "id", "-u").stdout.strip() == "10001", "its processes are user 10001")
    for path in ("/opt/skhost/x", "/x", "/opt/skhost/lib/x"):
        done = docker(*inside, "touch", path, check=False)
        require(done.returncode != 0, f"{path} cannot be written", done.stdout)
    compilers = docker(*inside, "sh", "-c", "command -v cc gcc g++ clang make", check=False).stdout
    require(not compilers, "it has no compiler", compilers)
    pip = docker(*inside, "python", "-m", "pip", "--version", check=False)
    require(pip.returncode != 0, "its environment has no pip", pip.stdout)


# the compose file


def check_compose(figures: Figures) -> None:
    try:
        with figures.seconds("compose up, until all are healthy"):
            compose("up", "--detach", "--no-build", "--wait", "--wait-timeout", str(int(READY_S)))
        check_containers()
        answer = check_tour(figures)
        check_restart(figures, answer)
        check_keys()
        check_stop(figures)
    except CheckFailed:
        sys.stderr.write(compose("logs", "--tail", "60", check=False).stdout)
        raise
    finally:
        compose("down", "--volumes", "--timeout", "5", check=False)
    left = docker("ps", "--all", "--quiet").stdout + docker("volume", "ls", "--quiet").stdout
    require(not left, "compose down leaves nothing", left)


def check_containers() -> None:
    for service in ("api", "worker", "valkey"):
        found = inspect("container", f"skhost-{service}-1")
        require(found["State"]["Health"]["Status"] == "healthy", f"{service} is healthy")
        require(found["HostConfig"]["ReadonlyRootfs"], f"{service} has a read-only file system")
        uid = docker("exec", f"skhost-{service}-1", "id", "-u").stdout.strip()
        require(uid not in ("", "0"), f"{service} is not root but user {uid}")
    ports = inspect("container", "skhost-api-1")["NetworkSettings"]["Ports"]["8080/tcp"]
    require([p["HostIp"] for p in ports] == ["127.0.0.1"], "the server is on loopback only", ports)


def check_tour(figures: Figures) -> dict[str, Any]:
    """The README's first steps by curl, as they stand there: train and watch, then classify."""
    folder = SCRATCH / "tour"
    shutil.copytree(ROOT / "examples", folder / "examples")
    train, classify = TOUR.findall((ROOT / "README.md").read_text())[:2]
    with figures.seconds("the README's training, until its event stream ends"):
        said = shell(train, folder, TRAINING_S)
    require("succeeded" in said, "the README's training succeeded", said[-2000:])
    answers = [json.loads(line) for line in json_lines(shell(classify, folder))]
    require(len(answers) == classify.count("curl "), "each of the README's requests is answered")
    first = answers[0]
    require("label" in first["results"][0], f"the README's classify says {first['results'][0]}")
    require(first["digest"].startswith("sha256:"), "the answer carries the version's digest")
    return answer()


def shell(commands: str, folder: Path, limit_s: float = 60) -> str:
    done = run("bash", "-euo", "pipefail", "-c", commands, cwd=folder, timeout=limit_s)
    return done.stdout


def json_lines(text: str) -> Iterator[str]:
    """JSON documents that stand one behind the other, with or without line ends between them."""
    decoder = json.JSONDecoder()
    while text := text.strip():
        _, end = decoder.raw_decode(text)
        yield text[:end]
        text = text[end:]


def answer(**headers: str) -> dict[str, Any]:
    request = urllib.request.Request(
        f"{URL}/classify?adapter=sentiment",
        data=json.dumps({"text": "It broke on the first day."}).encode(),
        headers={"Content-Type": "application/json", **headers},
    )
    with urllib.request.urlopen(request, timeout=30) as response:
        found: dict[str, Any] = json.load(response)
    return found


def check_restart(figures: Figures, before: dict[str, Any]) -> None:
    with figures.seconds("restart of server and Valkey, until ready"):
        compose("restart", "valkey", "api")
        compose("up", "--detach", "--no-build", "--wait", "--wait-timeout", str(int(READY_S)))
    after = answer()
    require(after["digest"] == before["digest"], "the adapter is still there after a restart")
    require(after["results"] == before["results"], "and answers the same", (before, after))


def check_keys() -> None:
    """The first key, made as docker-compose.yml says, shuts the server to whoever has none."""
    making = ("exec", "-T", "api", "skhost", "keys", "create", "--scope", "classify")
    key = compose(*making).stdout.strip()
    wait_until(is_shut, 10, "asked for a key")
    say("with the first key it answers nobody without one")
    found = answer(Authorization=f"Bearer {key}")
    require("label" in found["results"][0], "and whoever has it")


def is_shut() -> bool:
    try:
        answer()
    except urllib.error.HTTPError as error:
        return error.code == 401
    return False


def check_stop(figures: Figures) -> None:
    for service in ("worker", "api"):
        with figures.seconds(f"stop of the {service}"):
            compose("stop", service)
        code = inspect("container", f"skhost-{service}-1")["State"]["ExitCode"]
        require(code == 0, f"the {service} ends with exit code 0", code)


def main() -> int:
    figures = Figures()
    try:
        check_image(figures)
        check_sbom()
        check_refusal()
        check_alone(figures)
        check_compose(figures)
    except (CheckFailed, OSError) as error:
        sys.stderr.write(f"deploy-e2e: {error}\n")
        return 1
    if os.environ["FIGURES"] != "/dev/null":
        Path(os.environ["FIGURES"]).write_text(json.dumps(figures.rows, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
