#!/usr/bin/env bash
# What can be checked of the image, the compose file and the chart without a container engine or a
# cluster. Installs its tools into .tools/ first. PYTHON names an interpreter that has the project.
set -euo pipefail
cd "$(dirname "$0")/.."

python=${PYTHON:-.venv/bin/python}
chart=deploy/helm/skhost
kubernetes=(1.25.0 1.31.0 1.37.0)

PYTHON=$python bash deploy/tools.sh
PATH=$PWD/.tools/bin:$PATH
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
export HELM_CACHE_HOME=$scratch/cache HELM_CONFIG_HOME=$scratch/config HELM_DATA_HOME=$scratch/data
export KUBECONFIG=/dev/null

fail() { printf 'deploy-check: %s\n' "$*" >&2; exit 1; }
say() { printf 'ok  %s\n' "$*"; }

# An unknown kind or a removed version of an API is only a warning of the validator. These kinds are
# not Kubernetes' own; tests/deploy holds what the chart writes in them.
others='ServiceMonitor|PrometheusRule|ScaledObject|HTTPRoute'
validate() { # validate FILE VERSION
    local found=0
    kubernetes-validate --strict --quiet -k "$2" "$1" >"$scratch/found" 2>&1 || found=1
    grep -vE "$others" "$scratch/found" | grep -q WARN && found=1
    [ "$found" = 0 ] || { cat "$scratch/found" >&2; fail "$1 is not valid for Kubernetes $2"; }
}

render() { # render NAME [helm arguments]
    local name=$1 version
    shift
    helm template rel "$chart" --namespace prod "$@" >"$scratch/$name.yaml" || fail "$name: no template"
    yamllint -d '{rules: {key-duplicates: enable}}' "$scratch/$name.yaml" || fail "$name: YAML"
    for version in "${kubernetes[@]}"; do validate "$scratch/$name.yaml" "$version"; done
    say "chart with $name: valid for Kubernetes ${kubernetes[*]}"
}

refused() { # refused WORD ARGUMENTS...: helm must fail, and say WORD
    local word=$1
    shift
    if helm template rel "$chart" "$@" >/dev/null 2>"$scratch/refusal"; then
        fail "the chart takes $*"
    fi
    grep -q -- "$word" "$scratch/refusal" || { cat "$scratch/refusal" >&2; fail "$* fails otherwise"; }
    say "chart refuses $*"
}

hadolint --no-color --failure-threshold style Dockerfile
say "Dockerfile: hadolint"
docker-compose -f docker-compose.yml config --quiet
docker-compose -f docker-compose.yml -f deploy/compose.cuda.yml config --quiet
say "compose: docker-compose.yml, and with deploy/compose.cuda.yml"

helm lint --strict --quiet "$chart"
say "chart: helm lint --strict"
render defaults
for values in deploy/helm/examples/*.yaml; do
    helm lint --strict --quiet "$chart" --values "$values"
    render "$(basename "$values" .yaml)" --values "$values"
done
refused "'replica' not allowed" --set api.replica=2
refused "'max_batch_token' not allowed" --set settings.max_batch_token=64
refused "got string, want integer" --set service.port=http
refused "valkey.enabled is false" --set valkey.enabled=false
helm package "$chart" --destination "$scratch" >/dev/null
say "chart: helm package"

"$python" -m pytest -q tests/deploy
