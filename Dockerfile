# One file, two images: a small one that serves, without torch, and one that works.
FROM node:24-bookworm-slim AS page
WORKDIR /src/dashboard
COPY dashboard/package.json dashboard/package-lock.json ./
RUN npm ci --no-fund --no-audit
COPY dashboard ./
RUN npm run build

FROM python:3.12-slim-bookworm AS build
RUN pip install --no-cache-dir uv==0.13.8
WORKDIR /src
COPY pyproject.toml requirements.lock README.md ./
COPY cache cache
COPY featurepack featurepack
COPY service service
COPY worker worker
COPY --from=page /src/service/static service/static
RUN uv venv /opt/featurepack

FROM build AS build-service
RUN uv pip install --python /opt/featurepack/bin/python --constraints requirements.lock '.[service]'

FROM build AS build-worker
RUN uv pip install --python /opt/featurepack/bin/python --constraints requirements.lock '.[worker]'

FROM python:3.12-slim-bookworm AS base
RUN useradd --uid 10001 --create-home featurepack && install -d -o featurepack /store
USER featurepack
ENV PATH=/opt/featurepack/bin:$PATH FEATUREPACK_STORE=/store
VOLUME /store

FROM base AS service
COPY --from=build-service /opt/featurepack /opt/featurepack
EXPOSE 8000
CMD ["python", "-P", "-m", "service", "--host", "0.0.0.0"]

FROM base AS worker
COPY --from=build-worker /opt/featurepack /opt/featurepack
CMD ["python", "-P", "-m", "worker"]
