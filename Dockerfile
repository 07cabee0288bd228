# syntax=docker/dockerfile:1

FROM python:3.13-slim AS builder
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
WORKDIR /src

# The project becomes a wheel in an environment of its own, so that the build backend stays out of the image.
COPY requirements-build.lock ./
RUN python -m venv /build && /build/bin/pip install --require-hashes -r requirements-build.lock

# Dependencies change less often than code: a layer of their own.
COPY requirements.lock ./
RUN python -m venv /opt/maywe && /opt/maywe/bin/pip install --require-hashes -r requirements.lock

COPY pyproject.toml README.md LICENSE ./
COPY app app
COPY migrations migrations
RUN /build/bin/pip wheel --no-deps --no-build-isolation --wheel-dir /wheels . \
    && /opt/maywe/bin/pip install --no-deps --no-index /wheels/*.whl \
    && /opt/maywe/bin/pip uninstall --yes pip


FROM python:3.13-slim
LABEL org.opencontainers.image.title="Maywe" \
      org.opencontainers.image.description="May we use this person's data for this purpose, now?" \
      org.opencontainers.image.licenses="Apache-2.0"

RUN groupadd --system --gid 10001 maywe \
    && useradd --system --uid 10001 --gid maywe --home-dir /data --shell /usr/sbin/nologin maywe \
    && install --directory --owner=maywe --group=maywe --mode=0700 /data
COPY --from=builder /opt/maywe /opt/maywe

# Nothing is written outside /data, so the root file system can be read-only.
ENV PATH=/opt/maywe/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    MAYWE_DATABASE_URL=sqlite:////data/maywe.db
WORKDIR /data
VOLUME /data
USER 10001:10001
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s --retries=3 \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/livez', timeout=2)"]
CMD ["maywe", "serve", "--host", "0.0.0.0"]
