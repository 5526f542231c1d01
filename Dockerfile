# One image recipe for every service: docker build --build-arg SERVICE=incident-api .
# The operators' command is built the same way: SERVICE=aiops-cli, with the distributions that it needs in WITH.
#
# PYTHON_IMAGE is any Debian with Python 3.11 and venv; scripts/base-image.sh makes one where no registry is
# reached. A package index of your own, with its certificate, goes in as build secrets and leaves no trace:
#   docker build --secret id=pip_conf,src=pip.conf --secret id=ca_bundle,src=ca.pem ...
# (pip.conf then says `cert = /run/secrets/ca_bundle`). Needs BuildKit, the default since Docker 23.
ARG PYTHON_IMAGE=python:3.11-slim

# The lock holds every package of the project, tools and tests too. What this service needs is cut out of it,
# and so is pip itself with what makes wheels: an index is asked for files of the lock, never for what is new.
FROM ${PYTHON_IMAGE} AS locks
SHELL ["/bin/bash", "-euo", "pipefail", "-c"]
WORKDIR /src
ARG SERVICE
ARG WITH=""
# A lock of its own that the service can do without: EXTRA=embedding is services/llm-enricher/embedding.lock.
ARG EXTRA=""
COPY pyproject.toml requirements.lock ./
COPY scripts/subset_lock.py scripts/
COPY services services
COPY tools tools
RUN test -n "$SERVICE" || { echo "build with --build-arg SERVICE=<folder in services/ or tools/>" >&2; exit 2; }; \
    for name in $WITH $SERVICE; do find services tools -maxdepth 1 -name "$name"; done > /folders; \
    python3 scripts/subset_lock.py requirements.lock pip setuptools hatchling > /tools.lock; \
    sed 's,$,/pyproject.toml,' /folders | xargs python3 scripts/subset_lock.py requirements.lock pyproject.toml > /needed.lock; \
    if [ -n "$EXTRA" ]; then cp "services/$SERVICE/$EXTRA.lock" /extra.lock; else touch /extra.lock; fi

FROM ${PYTHON_IMAGE} AS tools
SHELL ["/bin/bash", "-euo", "pipefail", "-c"]
WORKDIR /src
ENV PATH=/opt/tools/bin:$PATH PIP_DISABLE_PIP_VERSION_CHECK=1
COPY --from=locks /tools.lock /tools.lock
RUN --mount=type=secret,id=pip_conf,target=/etc/pip.conf \
    --mount=type=secret,id=ca_bundle,target=/run/secrets/ca_bundle \
    --mount=type=cache,target=/root/.cache/pip \
    python3 -m venv /opt/tools; \
    pip install --quiet --no-deps --require-hashes -r /tools.lock

# Each package is checked by its hash. This layer changes only when they do: services that need the same
# share it, and a ship that gets a new version of our code need not get it again.
FROM tools AS dependencies
COPY --from=locks /needed.lock /extra.lock /
RUN --mount=type=secret,id=pip_conf,target=/etc/pip.conf \
    --mount=type=secret,id=ca_bundle,target=/run/secrets/ca_bundle \
    --mount=type=cache,target=/root/.cache/pip \
    python3 -m venv --without-pip /opt/venv; \
    pip wheel --quiet --no-deps --require-hashes --no-build-isolation --wheel-dir /wheels -r /needed.lock; \
    pip --python /opt/venv/bin/python install --quiet --no-deps --no-index /wheels/*.whl; \
    if [ -s /extra.lock ]; then \
      pip wheel --quiet --no-deps --require-hashes --no-build-isolation --wheel-dir /extra -r /extra.lock; \
      pip --python /opt/venv/bin/python install --quiet --no-deps --no-index /extra/*.whl; \
    fi; \
    /opt/venv/bin/python -m compileall -q /opt/venv/lib

# Our own distributions are made into wheels without the cache: pip takes a folder called a-b for version b
# of a, and would install its old wheel again. They ask no index for anything.
FROM dependencies AS build
# Inherited all the same, but hadolint does not look that far.
SHELL ["/bin/bash", "-euo", "pipefail", "-c"]
ARG SERVICE
COPY pyproject.toml README.md LICENSE ./
COPY aiops_core aiops_core
COPY services services
COPY tools tools
COPY --from=locks /folders /folders
# hadolint ignore=DL3013,DL3042
RUN sed 's,^,./,' /folders | xargs pip wheel --quiet --no-deps --no-index --no-build-isolation --no-cache-dir --wheel-dir /own .; \
    pip --python /opt/venv/bin/python install --quiet --no-deps --no-index --target /opt/aiops /own/*.whl; \
    PYTHONPATH=/opt/aiops pip --python /opt/venv/bin/python check; \
    if [ -s /extra.lock ]; then PYTHONPATH=/opt/aiops /opt/venv/bin/python -m llm_enricher.retrieval.embedding; fi; \
    printf '#!/bin/sh\nexec python -m %s "$@"\n' "$(echo "$SERVICE" | tr - _)" > /opt/aiops/bin/serve; \
    chmod 755 /opt/aiops/bin/serve; \
    /opt/venv/bin/python -m compileall -q /opt/aiops

FROM ${PYTHON_IMAGE}
RUN groupadd --gid 10001 aiops && useradd --uid 10001 --gid aiops --no-create-home --home-dir /app aiops
WORKDIR /app
COPY --from=dependencies /opt/venv /opt/venv
# From here on the images differ; what is above is stored and sent once for all that have the same packages.
COPY --from=build /opt/aiops /opt/aiops
COPY policies policies
COPY clickhouse clickhouse
ENV PATH=/opt/aiops/bin:/opt/venv/bin:$PATH \
    PYTHONPATH=/opt/aiops \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    AIOPS_POLICIES=/app/policies \
    AIOPS_MIGRATIONS=/app/clickhouse \
    AIOPS_PROBE_HOST=0.0.0.0 \
    AIOPS_PROBE_PORT=8080
ARG SERVICE
LABEL org.opencontainers.image.title="aiops-naas ${SERVICE}" \
      org.opencontainers.image.licenses="Apache-2.0"
USER 10001:10001
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request as http; http.urlopen('http://127.0.0.1:' + os.environ['AIOPS_PROBE_PORT'] + '/health', timeout=2)"]
# `serve` is `exec python -m <import name of SERVICE>`, so that Python is process 1 and gets SIGTERM itself.
ENTRYPOINT ["serve"]
