# popbridge in a container, as a user without rights, for amd64 and arm64:
#
#   docker build -t popbridge .
#   docker buildx build --platform linux/amd64,linux/arm64 -t popbridge .
#   docker run -d --name popbridge --read-only --tmpfs /tmp -v popbridge:/data -p 993:993 popbridge
#
# The volume /data holds config.yaml (with data_dir: /data/store), secrets, database, certificates.
# It belongs to user 10001: chown -R 10001:10001 where you mount a folder of your own; no NFS.
# docs/docker-compose.yaml has the rest.
FROM python:3.13-slim AS build
RUN apt-get update && apt-get install -y --no-install-recommends gcc libc6-dev
# SQLite 3.7.0 to 3.51.2 can corrupt a WAL database when two connections write and checkpoint at
# once, and Debian's is older. popbridge writes by one connection alone, and gets a mended SQLite
# beside that: the amalgamation of 3.53.2 as better-sqlite3 packs it, with Debian's own options.
ADD --checksum=sha256:ebf0ed75a7a59dbcb3b24bbd014ef49d9f15bc328e4adcbf516f2a8fadfa2835 \
    https://registry.npmjs.org/better-sqlite3/-/better-sqlite3-12.11.1.tgz /src/sqlite.tgz
RUN tar xzf /src/sqlite.tgz -C /src package/deps/sqlite3 \
    && gcc -O2 -shared -fPIC -DSQLITE_THREADSAFE=1 -DSQLITE_ENABLE_FTS5 -DSQLITE_SECURE_DELETE \
       -DSQLITE_ENABLE_COLUMN_METADATA -Wl,-soname,libsqlite3.so.0 \
       -o /usr/local/lib/libsqlite3.so.0 /src/package/deps/sqlite3/sqlite3.c -lm
WORKDIR /src/popbridge
COPY pyproject.toml README.md LICENSE ./
COPY bridge bridge
RUN python3 -m venv /opt/popbridge && /opt/popbridge/bin/pip install --no-cache-dir .

FROM python:3.13-slim
RUN useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin popbridge \
    && install -d -o 10001 -g 10001 -m 0700 /data
COPY --from=build /usr/local/lib/libsqlite3.so.0 /usr/local/lib/
COPY --from=build /opt/popbridge /opt/popbridge
# An image with another SQLite than meant is not built.
RUN ldconfig \
    && python3 -c "import sqlite3; assert sqlite3.sqlite_version_info >= (3, 51, 3), sqlite3.sqlite_version"
ENV PATH=/opt/popbridge/bin:$PATH PYTHONDONTWRITEBYTECODE=1 POPBRIDGE_CONFIG=/data/config.yaml
USER 10001
VOLUME /data
EXPOSE 993 1143 1993 8025 8026
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=60s --timeout=10s --start-period=30s CMD ["popbridge", "healthcheck"]
CMD ["popbridge", "run"]
