# m2v_bench on CPUs, as a user without rights; caches and results are in volumes.
#
#   docker build --tag m2v-bench .
#   docker run --rm --volume m2v-cache:/cache --volume "$PWD/results:/work/results" m2v-bench run pca_dims=128
#
# torch comes for CUDA unless the build has an index with its CPU wheels: --build-arg PIP_EXTRA_INDEX_URL=ADDRESS.
FROM python:3.11-slim

ARG PIP_EXTRA_INDEX_URL
RUN useradd --create-home --uid 1000 bench \
    && mkdir --parents /cache /work/results \
    && chown --recursive bench:bench /cache /work
COPY pyproject.toml constraints.txt README.md LICENSE /source/
COPY m2v_bench /source/m2v_bench
COPY conf /source/conf
RUN pip install --no-cache-dir --constraint /source/constraints.txt "/source[bench]" \
    && python -c "from m2v_bench.inference.fast.loading import compile_ahead; compile_ahead()"

USER bench
ENV M2V_BENCH_CACHE=/cache/m2v_bench HF_HOME=/cache/huggingface MPLCONFIGDIR=/cache/matplotlib
VOLUME ["/cache", "/work/results"]
WORKDIR /work
ENTRYPOINT ["m2v-bench"]
CMD ["--help"]
