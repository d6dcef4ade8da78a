#!/usr/bin/env bash
# engine.sh: start dockerd on a socket of its own, run the checks, stop it. Runs inside the
# namespaces that e2e.sh makes: what is left of it when this script ends, the kernel ends too.
set -euo pipefail
cd "$(dirname "$0")/../.."

ip link set lo up

# A file system in a file goes at once with its mount; a hundred thousand files take minutes.
truncate --size 16G "$SCRATCH/images.ext4"
mkfs.ext4 -q -O ^has_journal -E lazy_itable_init=1,nodiscard "$SCRATCH/images.ext4"
mkdir -p "$SCRATCH/images"
mount -o loop,noatime "$SCRATCH/images.ext4" "$SCRATCH/images" \
    || echo "no loop device: the images lie in $SCRATCH/images" >&2

export DOCKER_HOST=unix://$SCRATCH/docker.sock DOCKER_CONFIG=$SCRATCH/docker
dockerd --data-root "$SCRATCH/images" --exec-root "$SCRATCH/exec" --pidfile "$SCRATCH/docker.pid" \
    --host "$DOCKER_HOST" --storage-driver overlay2 --oom-score-adjust 0 --log-level warn \
    >"$SCRATCH/dockerd.log" 2>&1 &
engine=$!

stop() {
    kill "$engine" 2>/dev/null || true
    wait "$engine" 2>/dev/null || true
}
trap stop EXIT

for _ in $(seq 150); do
    docker version >/dev/null 2>&1 && break
    kill -0 "$engine" 2>/dev/null || { tail "$SCRATCH/dockerd.log" >&2; exit 1; }
    sleep 0.2
done

bash deploy/e2e/build.sh
"$PYTHON" deploy/e2e/check.py
