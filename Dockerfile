# popbridge in a container: the same steps as in README, as a user without rights.
#
#   docker build -t popbridge .
#   docker run -d --name popbridge -v popbridge:/data -p 1993:1993 popbridge
#
# The volume /data holds config.yaml (with data_dir: /data/store), the database, the certificates.
# It belongs to user 10001: chown -R 10001:10001 where you mount a folder of your own.
FROM python:3.13-slim AS build
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY bridge bridge
RUN python3 -m venv /opt/popbridge && /opt/popbridge/bin/pip install --no-cache-dir .

FROM python:3.13-slim
RUN useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin popbridge \
    && install -d -o 10001 -g 10001 -m 0700 /data
COPY --from=build /opt/popbridge /opt/popbridge
ENV PATH=/opt/popbridge/bin:$PATH POPBRIDGE_CONFIG=/data/config.yaml
USER 10001
VOLUME /data
EXPOSE 1143 1993
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=60s --timeout=10s --start-period=30s CMD ["popbridge", "healthcheck"]
CMD ["popbridge", "run"]
