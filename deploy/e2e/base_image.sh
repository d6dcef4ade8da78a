#!/usr/bin/env bash
# base_image.sh BASE.tar VALKEY_FOLDER: a root file system that stands in for python:*-slim-bookworm,
# made of Debian's packages and this machine's Python, laid out as the official image lays it out;
# and, into VALKEY_FOLDER, the packages of a client for the stand-in of valkey/valkey.
set -euo pipefail

target=$1
clients=$(realpath "$2")
prefix=${PYTHON_PREFIX:?}
version=${PYTHON_VERSION:?}

hook=$(mktemp)
trap 'rm -f "$hook"' EXIT
cat >"$hook" <<HOOK
#!/bin/bash
set -euo pipefail
root=\$1
cd "$prefix"
shopt -s nullglob
tar --exclude="lib/python$version/site-packages/*" --exclude="lib/python$version/test" \
    --exclude="lib/python$version/idlelib" --exclude="lib/python$version/config-*" \
    --exclude=__pycache__ --exclude='*.a' \
    -cf - "lib/python$version" lib/libpython$version.so.1.0 "bin/python$version" \
    | tar -C "\$root/usr/local" -xf -
ln -s "python$version" "\$root/usr/local/bin/python3"
ln -s "python$version" "\$root/usr/local/bin/python"
chroot "\$root" ldconfig
chroot "\$root" python3 -m ensurepip --default-pip >/dev/null 2>&1
ln -sf pip3 "\$root/usr/local/bin/pip"
rm -f "\$root"/var/cache/apt/archives/*.deb
APT_CONFIG=\$MMDEBSTRAP_APT_CONFIG apt-get -qq -y --download-only --no-install-recommends \
    install redis-tools >/dev/null
mv "\$root"/var/cache/apt/archives/*.deb "$clients/"
rm -rf "\$root"/var/lib/apt/lists/* "\$root"/usr/share/locale/*
HOOK
chmod +x "$hook"

# On a file system in memory, where there is one, this takes a third of the time.
if [ -w /dev/shm ]; then export TMPDIR=/dev/shm; fi
mmdebstrap --quiet --mode=root --variant=minbase \
    --include=ca-certificates,netbase,tzdata,libssl3,libffi8,libsqlite3-0,zlib1g,libbz2-1.0,liblzma5,libreadline8,libncursesw6,libexpat1,libuuid1 \
    --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
    --customize-hook="$hook" bookworm "$target"
