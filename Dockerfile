# vid2vid on the processor, with its model inside. Build it in a clone: docker build -t vid2vid .
#   docker run --rm --read-only --tmpfs /tmp -u "$(id -u):$(id -g)" -v "$PWD:/w" vid2vid reenact /w/a.png /w/b.mp4 -o /w/c.mp4
ARG PYTHON_IMAGE=docker.io/library/python:3.11-slim-bookworm

FROM ${PYTHON_IMAGE} AS build
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
RUN apt-get update && apt-get install -y --no-install-recommends binutils && rm -rf /var/lib/apt/lists/*
COPY . /source
RUN python3 -m venv /opt/vid2vid \
    && /opt/vid2vid/bin/pip install --no-cache-dir --no-compile --extra-index-url "${TORCH_INDEX}" \
        -c /source/constraints.txt /source
# Headers, tests and the names of local functions: about a quarter of the whole.
RUN sh /source/docker/trim.sh /opt/vid2vid
# What numba compiles and what Python has read: a read-only container could keep neither.
RUN sh /source/docker/warm.sh /opt/vid2vid

FROM ${PYTHON_IMAGE}
COPY --from=build /opt/vid2vid /opt/vid2vid
ENV PATH=/opt/vid2vid/bin:$PATH PYTHONDONTWRITEBYTECODE=1
USER 65532:65532
WORKDIR /w
ENTRYPOINT ["sh", "/opt/vid2vid/entry.sh"]
CMD ["--help"]
