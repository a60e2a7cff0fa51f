# The server with its web client, in a small image that runs as nobody in particular.
#
#   docker build -t conclave .
#   docker run --rm --network host conclave --public-address ADDRESS
#
# ADDRESS is where browsers reach this machine. Without --network host, publish both ports:
# -p 8080:8080/tcp -p 3478:3478/udp -p 3478:3478/tcp. Cameras need https (or localhost): put a proxy in front.

FROM docker.io/library/node:22-bookworm-slim AS node

FROM docker.io/library/rust:1.95-bookworm AS tools
COPY --from=node /usr/local/bin/node /usr/local/bin/node
COPY --from=node /usr/local/lib/node_modules /usr/local/lib/node_modules
RUN ln -s ../lib/node_modules/npm/bin/npm-cli.js /usr/local/bin/npm \
    && rustup target add wasm32-unknown-unknown
# A path that nothing else names, so that the check for it in scripts/wasm.sh says something.
WORKDIR /build/conclave

FROM tools AS web
COPY . .
ENV CONCLAVE_REQUIRE_WASM_OPT=1
RUN make web

FROM tools AS server
COPY . .
COPY --from=web /build/conclave/web/dist web/dist
RUN cargo build --release --locked -p conclave-signalling

FROM docker.io/library/debian:bookworm-slim
RUN useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin conclave \
    && install -d -o conclave -g conclave /var/lib/conclave
COPY --from=server /build/conclave/target/release/conclave /usr/local/bin/conclave
USER conclave
ENV CONCLAVE_LISTEN=0.0.0.0:8080 \
    CONCLAVE_PLAIN_HTTP=true \
    CONCLAVE_MEDIA_PORT=3478 \
    CONCLAVE_DATA=/var/lib/conclave
VOLUME /var/lib/conclave
EXPOSE 8080/tcp 3478/udp 3478/tcp
STOPSIGNAL SIGINT
# No HTTP client in the image: bash speaks enough of it.
HEALTHCHECK --interval=10s --timeout=3s --start-period=5s \
    CMD ["bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/8080; printf 'GET /healthz HTTP/1.0\\r\\n\\r\\n' >&3; read -r _ status _ <&3; [ \"$status\" = 200 ]"]
ENTRYPOINT ["conclave"]
