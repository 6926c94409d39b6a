# The gateway in a container; docs/how-to/run-in-containers.md says how to run it. Two stages: pip and what builds stay behind.

FROM docker.io/library/python:3.11-slim-bookworm AS build
WORKDIR /src
# Every package is named with its version and hash (make lock).
COPY requirements-build.txt requirements-run.txt ./
RUN python3 -m venv /build \
    && /build/bin/pip install --no-cache-dir --require-hashes -r requirements-build.txt \
    && python3 -m venv --without-pip /opt/gateway \
    && /build/bin/pip --python /opt/gateway/bin/python install --no-cache-dir --require-hashes -r requirements-run.txt
COPY pyproject.toml README.md LICENSE ./
COPY gateway gateway
RUN /build/bin/pip wheel --no-cache-dir --no-deps --no-build-isolation --wheel-dir /wheel . \
    && /build/bin/pip --python /opt/gateway/bin/python install --no-cache-dir --no-deps /wheel/gateway-*.whl

FROM docker.io/library/python:3.11-slim-bookworm
COPY --from=build /opt/gateway /opt/gateway
# The only place that it writes to. All else may be read-only: docker run --read-only --tmpfs /tmp
RUN install -d -o 10001 -g 10001 -m 0700 /var/lib/gateway
ENV PATH=/opt/gateway/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1
# By number, so that a host can tell that it is not root without looking into the image.
USER 10001:10001
VOLUME /var/lib/gateway
HEALTHCHECK --interval=30s --timeout=5s --start-period=30s CMD ["gateway", "health"]
# No shell in between: SIGTERM reaches the gateway.
ENTRYPOINT ["gateway"]
CMD ["run", "--settings", "/etc/gateway/settings.yaml"]
