# One image recipe for every service: docker build --build-arg SERVICE=incident-api .
#
# PYTHON_IMAGE is any Debian with Python 3.11 and venv; scripts/base-image.sh makes one where no registry is
# reached. A package index of your own, with its certificate, goes in as build secrets and leaves no trace:
#   docker build --secret id=pip_conf,src=pip.conf --secret id=ca_bundle,src=ca.pem ...
# (pip.conf then says `cert = /run/secrets/ca_bundle`). Needs BuildKit, the default since Docker 23.
ARG PYTHON_IMAGE=python:3.11-slim

FROM ${PYTHON_IMAGE} AS build
ARG SERVICE
# An extra of aiops-core besides the service; `local` brings the embedded ClickHouse and nats-server.
ARG EXTRA=""
SHELL ["/bin/bash", "-euo", "pipefail", "-c"]
WORKDIR /src
COPY pyproject.toml requirements.lock README.md LICENSE ./
COPY scripts/subset_lock.py scripts/
COPY aiops_core aiops_core
COPY services/${SERVICE} services/${SERVICE}
ENV PATH=/opt/venv/bin:$PATH PIP_DISABLE_PIP_VERSION_CHECK=1
# The lock holds every package of the project, tools and tests too. pip works out which of them this service
# needs, subset_lock.py cuts those out of the lock, and only they are installed, each checked by its hash.
# Our own two are made into wheels first, without the cache: pip takes a folder called a-b for version b of a,
# and would install its old wheel again.
# hadolint ignore=DL3013
RUN --mount=type=secret,id=pip_conf,target=/etc/pip.conf \
    --mount=type=secret,id=ca_bundle,target=/run/secrets/ca_bundle \
    --mount=type=cache,target=/root/.cache/pip \
    test -n "$SERVICE" || { echo "build with --build-arg SERVICE=<folder in services/>" >&2; exit 2; }; \
    python3 -m venv /opt/venv; \
    python scripts/subset_lock.py requirements.lock --pins > /tmp/pins.txt; \
    export PIP_CONSTRAINT=/tmp/pins.txt; \
    pip wheel --quiet --no-deps --no-cache-dir --wheel-dir /tmp/core .; \
    pip wheel --quiet --no-deps --no-cache-dir --wheel-dir /tmp/service "./services/$SERVICE"; \
    core=$(echo /tmp/core/*.whl)${EXTRA:+[$EXTRA]}; \
    pip install --quiet --dry-run --report /tmp/report.json "$core" /tmp/service/*.whl; \
    python scripts/subset_lock.py requirements.lock --report /tmp/report.json > /tmp/needed.lock; \
    PIP_CONSTRAINT='' pip install --quiet --no-deps --require-hashes -r /tmp/needed.lock; \
    pip install --quiet --no-deps "$core" /tmp/service/*.whl; \
    pip check; \
    module=$(echo "$SERVICE" | tr - _); \
    printf '#!/bin/sh\nexec python -m %s "$@"\n' "$module" > /opt/venv/bin/serve; \
    chmod 755 /opt/venv/bin/serve; \
    python -m compileall -q /opt/venv/lib; \
    pip uninstall --quiet --yes setuptools pip

FROM ${PYTHON_IMAGE}
ARG SERVICE
LABEL org.opencontainers.image.title="aiops-naas ${SERVICE}" \
      org.opencontainers.image.licenses="Apache-2.0"
RUN groupadd --gid 10001 aiops && useradd --uid 10001 --gid aiops --no-create-home --home-dir /app aiops
WORKDIR /app
COPY --from=build /opt/venv /opt/venv
COPY policies policies
COPY clickhouse clickhouse
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    AIOPS_POLICIES=/app/policies \
    AIOPS_MIGRATIONS=/app/clickhouse \
    AIOPS_PROBE_HOST=0.0.0.0 \
    AIOPS_PROBE_PORT=8080
USER 10001:10001
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request as http; http.urlopen('http://127.0.0.1:' + os.environ['AIOPS_PROBE_PORT'] + '/health', timeout=2)"]
# `serve` is `exec python -m <import name of SERVICE>`, so that Python is process 1 and gets SIGTERM itself.
ENTRYPOINT ["serve"]
