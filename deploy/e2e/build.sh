#!/usr/bin/env bash
# build.sh: the two stand-in images under the names that the Dockerfile and the compose file use,
# then ours from the Dockerfile with its default arguments, with no network in the build.
set -euo pipefail

base=$(sed -n 's/^ARG BASE_IMAGE=//p' Dockerfile)
valkey=$(sed -n 's/^ *image: \(valkey.*\)$/\1/p' docker-compose.yml)

docker import --change 'ENV PATH=/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin' \
    --change 'ENV LANG=C.UTF-8' --change 'CMD ["python3"]' "$SCRATCH/base.tar" "$base" >/dev/null

cat >"$SCRATCH/valkey/Dockerfile" <<DOCKERFILE
FROM $base
COPY . /packages
RUN dpkg -i /packages/*.deb >/dev/null && mv /packages/valkey-server /usr/local/bin/ \\
    && ln -s /usr/bin/redis-cli /usr/local/bin/valkey-cli && rm -rf /packages \\
    && groupadd -r -g 999 valkey && useradd -r -g valkey -u 999 valkey \\
    && install -d -o valkey -g valkey /data
VOLUME /data
WORKDIR /data
CMD ["valkey-server"]
DOCKERFILE
# The first client in PATH may be one without BuildKit.
export DOCKER_BUILDKIT=1
client=/usr/bin/docker
"$client" build --quiet --network=none --tag "$valkey" "$SCRATCH/valkey" >/dev/null

started=$(date +%s.%N)
"$client" build --network=none --build-arg PIP_NO_INDEX=1 --progress=plain --tag skhost:cpu \
    "$CONTEXT" >"$SCRATCH/build.log" 2>&1 || { tail -60 "$SCRATCH/build.log" >&2; exit 1; }
date +%s.%N | awk -v started="$started" '{print $1 - started}' >"$SCRATCH/build_seconds"
