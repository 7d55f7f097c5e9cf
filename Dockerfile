# netsecmonitor in a container. It watches the host's network: run it with the host's network and CAP_NET_RAW alone,
# as compose.yaml does. scripts/check-image runs the same steps without a container engine.

FROM python:3.11-slim AS build
RUN apt-get update && apt-get install -y --no-install-recommends make && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
RUN make wheel && cp dist/*.whl requirements/run.txt /tmp/

FROM python:3.11-slim
RUN apt-get update && apt-get install -y --no-install-recommends libpcap0.8 && rm -rf /var/lib/apt/lists/* \
    && useradd --system --home-dir /var/lib/nsm --shell /usr/sbin/nologin nsm \
    && install -d -m 0700 -o nsm -g nsm /var/lib/nsm
COPY --from=build /tmp/run.txt /tmp/*.whl /tmp/
RUN pip install --no-cache-dir --require-hashes -r /tmp/run.txt \
    && pip install --no-cache-dir --no-deps /tmp/*.whl && rm /tmp/run.txt /tmp/*.whl
ENV STATE_DIRECTORY=/var/lib/nsm HOME=/var/lib/nsm
VOLUME /var/lib/nsm
EXPOSE 8052
HEALTHCHECK --interval=30s --timeout=5s --start-period=90s \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8052/api/v1/me', timeout=4)"]
# From here on it is the user nsm, with the one capability that capturing needs.
ENTRYPOINT ["setpriv", "--reuid=nsm", "--regid=nsm", "--clear-groups", "--inh-caps=-all,+net_raw", "--ambient-caps=-all,+net_raw", "--bounding-set=-all,+net_raw", "--no-new-privs", "nsm"]
CMD ["run"]
