# cvzoo serve, for the CPU; `--build-arg TORCH=cu130` (or another of https://download.pytorch.org/whl) is for a GPU.
FROM python:3.12-slim AS build
ARG TORCH=cpu
WORKDIR /source
COPY constraints.txt ./
# hadolint ignore=DL3013  (the versions stand in constraints.txt)
RUN python -m venv /opt/cvzoo \
 && /opt/cvzoo/bin/pip install --no-cache-dir --constraint constraints.txt \
    --extra-index-url "https://download.pytorch.org/whl/${TORCH}" torch torchvision
COPY pyproject.toml README.md ./
COPY cvzoo cvzoo
# hadolint ignore=DL3013
RUN /opt/cvzoo/bin/pip install --no-cache-dir --constraint constraints.txt '.[serve,lite,dense-pose]'

FROM python:3.12-slim
RUN useradd --system --uid 10001 --no-create-home cvzoo && install --directory --owner cvzoo /cache
COPY --from=build /opt/cvzoo /opt/cvzoo
ENV PATH="/opt/cvzoo/bin:$PATH" CVZOO_CACHE=/cache HOME=/tmp NUMBA_CACHE_DIR=/tmp/numba PYTHONUNBUFFERED=1
USER 10001
WORKDIR /runs
VOLUME /cache
EXPOSE 8000
HEALTHCHECK --start-period=300s --interval=30s --timeout=5s \
  CMD ["python", "-c", "from urllib.request import urlopen; urlopen('http://127.0.0.1:8000/readyz', timeout=4)"]
ENTRYPOINT ["cvzoo", "serve"]
CMD ["retinanet_r50_fpn_1x", "--weights", "torchvision", "--host", "0.0.0.0"]
