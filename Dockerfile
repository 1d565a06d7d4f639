# One image per service: docker build --build-arg SERVICE=auth .
# The command says which of its processes it is (see compose.yaml).
ARG PYTHON=python:3.13-slim-bookworm
ARG UV=ghcr.io/astral-sh/uv:0.13.9

FROM ${UV} AS uv

# The pages name their scripts and styles by content hash, so the image needs the manifest of the build;
# the files themselves are served by the gateway's image.
FROM ${PYTHON} AS assets
COPY --from=uv /uv /usr/local/bin/uv
ENV UV_PYTHON_DOWNLOADS=never UV_PROJECT_ENVIRONMENT=/opt/node PATH=/opt/node/bin:$PATH
WORKDIR /src
COPY pyproject.toml uv.lock package.json package-lock.json ./
RUN uv sync --locked --only-group node && npm ci --ignore-scripts
COPY shared ./shared
COPY services ./services
RUN node shared/web/build.mjs

FROM ${PYTHON} AS packages
COPY --from=uv /uv /usr/local/bin/uv
ENV UV_PYTHON_DOWNLOADS=never UV_PROJECT_ENVIRONMENT=/opt/venv UV_COMPILE_BYTECODE=1 UV_LINK_MODE=copy
WORKDIR /src
COPY pyproject.toml uv.lock ./
ARG SERVICE
RUN uv sync --locked --no-default-groups --no-install-project --extra aws --extra "${SERVICE}"

FROM ${PYTHON}
ARG SERVICE
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    STATIC_DIR=/app/build/static
RUN useradd --system --uid 10001 --no-create-home --shell /usr/sbin/nologin boritrader
WORKDIR /app
COPY --from=packages /opt/venv /opt/venv
COPY --from=assets /src/build/static/manifest.json ./build/static/manifest.json
COPY shared ./shared
COPY services/__init__.py ./services/__init__.py
COPY services/${SERVICE} ./services/${SERVICE}
USER 10001
EXPOSE 8000 8081
STOPSIGNAL SIGTERM
