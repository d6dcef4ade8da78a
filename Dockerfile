# skhost: server and worker in one image; the default base model is in it.
#
#   docker build -t skhost:cpu .
#   docker build -t skhost:cuda --build-arg VARIANT=cuda .
#
# Without a network: deploy/wheels/README.md. What is in it, as a CycloneDX document:
#
#   docker run --rm --network none --entrypoint cat skhost:cpu /opt/skhost/sbom.cdx.json

# By digest, for a build that can be repeated: --build-arg BASE_IMAGE=python@sha256:...
ARG BASE_IMAGE=python:3.11-slim-bookworm
ARG VARIANT=cpu

FROM ${BASE_IMAGE} AS build
ARG VARIANT
# Optional parts of the project: gguf (base models in GGUF files), s3 (a store in S3).
ARG EXTRAS=gguf
# The package index of torch's CPU builds (PyTorch's start page names it). Without it, and without
# a wheel in deploy/wheels, pip takes the default index's torch: it works, and is gigabytes larger.
ARG TORCH_CPU_INDEX
# Set to 1, pip takes nothing but what lies in deploy/wheels.
ARG PIP_NO_INDEX
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_ROOT_USER_ACTION=ignore \
    PIP_FIND_LINKS=/wheels \
    PIP_CONSTRAINT=/build/constraints.txt
WORKDIR /build
# Wheels are taken by their hashes (deploy/image/locked), but for torch and what it alone brings.
# The environment gets no pip of its own: nothing can be installed into the finished image.
RUN python -m venv --without-pip /opt/skhost
COPY constraints.txt pyproject.toml deploy/image/requirements.py ./
COPY deploy/image/locked locked
RUN --mount=type=bind,source=deploy/wheels,target=/wheels \
    --mount=type=cache,target=/root/.cache/pip \
    python requirements.py pyproject.toml "${EXTRAS}" > requirements.txt \
    && (IFS=,; for part in skhost ${EXTRAS}; do cat "locked/${part}.txt"; done) > locked.txt \
    && PIP_CONSTRAINT="" pip --python /opt/skhost/bin/python install --no-deps --require-hashes \
        -r locked.txt \
    && case "${VARIANT}" in \
        cpu) set -- ${TORCH_CPU_INDEX:+--extra-index-url "${TORCH_CPU_INDEX}"} ;; \
        cuda) set -- ;; \
        *) echo "VARIANT is cpu or cuda, not ${VARIANT}" >&2; exit 1 ;; \
    esac \
    && pip --python /opt/skhost/bin/python install -r requirements.txt "$@" \
    && find /opt/skhost/lib -depth -type d \( -name tests -o -name test -o -name include \) \
        -path '*/site-packages/*' -exec rm -rf {} + # nobody tests or compiles against them here
COPY README.md LICENSE ./
COPY service service
COPY adapters adapters
RUN --mount=type=bind,source=deploy/wheels,target=/wheels \
    --mount=type=cache,target=/root/.cache/pip \
    pip --python /opt/skhost/bin/python install --no-deps .
COPY deploy/image/health.py /opt/skhost/health.py

FROM build AS sbom
COPY deploy/image/sbom.txt ./
RUN --mount=type=bind,source=deploy/wheels,target=/wheels \
    --mount=type=cache,target=/root/.cache/pip \
    python -m venv --without-pip /opt/sbom \
    && PIP_CONSTRAINT="" pip --python /opt/sbom/bin/python install -r sbom.txt \
    && /opt/sbom/bin/cyclonedx-py environment --pyproject pyproject.toml --output-reproducible \
        --output-file /opt/sbom.cdx.json /opt/skhost/bin/python

FROM ${BASE_IMAGE} AS runtime
LABEL org.opencontainers.image.title="skhost" \
      org.opencontainers.image.description="Many SK-Tuning text classifiers on one frozen base model" \
      org.opencontainers.image.licenses="Apache-2.0"
RUN groupadd --gid 10001 skhost \
    && useradd --uid 10001 --gid 10001 --home-dir /data --no-create-home --shell /usr/sbin/nologin skhost \
    && install -d -o 10001 -g 10001 /data
COPY --from=build /opt/skhost /opt/skhost
COPY --from=sbom /opt/sbom.cdx.json /opt/skhost/sbom.cdx.json
# The server listens on all of the container's addresses, so it does not start without API keys
# unless SKHOST_REQUIRE_KEYS=true lets nobody in before the first one is made, or
# SKHOST_ALLOW_REMOTE=true says that something in front of it guards it.
ENV PATH=/opt/skhost/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    HF_HUB_OFFLINE=1 \
    HF_HOME=/data/hub \
    SKHOST_DATA_DIR=/data \
    SKHOST_HOST=0.0.0.0 \
    SKHOST_PORT=8080
WORKDIR /data
USER 10001:10001
VOLUME /data
EXPOSE 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=15s --timeout=5s --start-period=90s --retries=3 \
    CMD ["python", "/opt/skhost/health.py", "server"]
ENTRYPOINT ["skhost"]
CMD ["serve"]

FROM runtime AS image-cpu

FROM runtime AS image-cuda
ENV NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility

# hadolint ignore=DL3006
FROM image-${VARIANT}
