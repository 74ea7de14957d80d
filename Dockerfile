# steadymask in a container: the command is the entry point, the user is not root.
#
#   docker build -t steadymask .                          # CPU build of torch
#   docker build -t steadymask:cuda --build-arg TORCH=default .   # torch with CUDA; run with --gpus all
#   docker run --rm --user "$(id -u):$(id -g)" --shm-size 1g -v "$PWD:/data" steadymask footage --masks masks --out out
ARG PYTHON=3.11
FROM python:${PYTHON}-slim-bookworm

# cpu, or default for the build with CUDA, which brings its own CUDA libraries
ARG TORCH=cpu
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PYTHONUNBUFFERED=1

# Libraries that OpenCV and video decoders load; ffmpeg itself comes with the packages. KubeRay asks
# with wget whether a pod is ready, and waits for ever without it.
RUN apt-get update \
    && apt-get install -y --no-install-recommends libgl1 libglib2.0-0 procps wget \
    && rm -rf /var/lib/apt/lists/*

WORKDIR /opt/steadymask

# The packages are a layer of their own: it stays as long as these files do.
COPY setup.cfg pyproject.toml constraints.txt ./
RUN if [ "$TORCH" = cpu ]; then \
        pip install --constraint constraints.txt --extra-index-url https://pypi.org/simple \
            --index-url https://download.pytorch.org/whl/cpu \
            $(sed -n 's/^\(torch\|torchvision\)==\(.*\)/\1==\2+cpu/p' constraints.txt); \
    fi
COPY scripts/requirements scripts/requirements
RUN python scripts/requirements setup.cfg > requirements.txt \
    && pip install --constraint constraints.txt --requirement requirements.txt 'ray[default]' \
    && pip install --constraint constraints.txt --force-reinstall --no-deps opencv-contrib-python

COPY . .
RUN pip install --no-deps --constraint constraints.txt --editable . \
    && useradd --create-home --uid 1000 steadymask \
    && mkdir /data && chown steadymask /data

# What Numba compiles: a place that any user may write to.
ENV NUMBA_CACHE_DIR=/tmp/numba
USER steadymask
WORKDIR /data
ENTRYPOINT ["python", "/opt/steadymask/run_pipeline.py"]
CMD ["--help"]
