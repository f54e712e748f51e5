# The three programs in one image: docker build -t sallyport .
# Runs as 65532, needs no writable root file system; what must be written (the control plane's store, the data plane's
# last-good cache) goes to a volume at /var/lib/sallyport. Another program than the data plane: --entrypoint sallyport-control.

FROM debian:bookworm-slim AS build
WORKDIR /build
# The dependencies come first: they change rarely, and BoringSSL takes a minute.
COPY deploy/install-deps deploy/install-deps
COPY deploy/boringssl deploy/boringssl
COPY deploy/tools deploy/tools
RUN deploy/install-deps build && rm -rf /var/lib/apt/lists/*
COPY CMakeLists.txt CMakePresets.json ./
COPY proto proto
COPY src src
COPY control control
RUN cmake --preset release -DSALLYPORT_TESTS=OFF -DSALLYPORT_BORINGSSL=crate \
    && cmake --build --preset release \
    && cmake --install build/release --prefix /opt/sallyport --strip

FROM debian:bookworm-slim
RUN apt-get update \
    && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
        ca-certificates libc-ares2 libev4 libgrpc29 libjansson4 libnghttp2-14 libpcre2-8-0 libprotobuf-c1 \
        libsqlite3-0 libstdc++6 libyaml-0-2 \
    && rm -rf /var/lib/apt/lists/* \
    && groupadd --gid 65532 sallyport \
    && useradd --uid 65532 --gid 65532 --no-create-home --home-dir /var/lib/sallyport --shell /usr/sbin/nologin sallyport \
    && install -d -m 0750 -o 65532 -g 65532 /var/lib/sallyport
COPY --from=build /opt/sallyport/bin/ /usr/local/bin/
COPY LICENSE /usr/share/doc/sallyport/LICENSE
USER 65532:65532
WORKDIR /var/lib/sallyport
STOPSIGNAL SIGTERM
ENTRYPOINT ["/usr/local/bin/sallyport"]
