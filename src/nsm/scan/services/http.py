"""HTTP and what is built on it: servers, proxies, printers (IPP), exporters and stores with an HTTP interface. RFC 9110.

One GET of the root; when the answer leaves open whose it is, one more that is made for that (``/version``, ``/metrics``).
"""

from __future__ import annotations

import re
from typing import Any, Final

from nsm.model.interfaces import Place, ServiceSpec, Talk
from nsm.scan.http_answer import PROXIES, HttpAnswer, read_answer, request, software_of
from nsm.scan.talking import Asking, Heard, clean, details, recognised

# An exporter's own version as Prometheus clients tell it; "collect[]" keeps the answer of the commonest one short.
METRICS_PATH: Final = "/metrics?collect[]=time"
BUILD: Final = re.compile(rb'^([a-z][a-z_]{0,40})_build_info\{[^}]{0,400}?\bversion="([^"]{1,40})"', re.MULTILINE)
LIBRARIES: Final = frozenset({"go", "python", "promhttp"})


def host_of(place: Place) -> str:
    """What the header Host says. RFC 9110, section 7.2."""
    name = place.name or (f"[{place.address}]" if ":" in place.address else place.address)
    return name if place.port in (80, 443) else f"{name}:{place.port}"


def text_at(data: dict[str, Any], *path: str) -> str:
    """A text within JSON; empty when it is not there."""
    found: Any = data
    for step in path:
        found = found.get(step) if isinstance(found, dict) else None
    return clean(found, 64) if isinstance(found, str) else ""


def by_json(data: dict[str, Any]) -> tuple[str, str, str]:
    """(name, product, version) by the JSON that stores tell of themselves."""
    if text_at(data, "tagline") and text_at(data, "version", "number"):
        product = "OpenSearch" if text_at(data, "version", "distribution") == "opensearch" else "Elasticsearch"
        return "elasticsearch", product, text_at(data, "version", "number")
    if text_at(data, "couchdb"):
        return "couchdb", "CouchDB", text_at(data, "version")
    if text_at(data, "etcdserver"):
        return "etcd-client", "etcd", text_at(data, "etcdserver")
    if text_at(data, "gitVersion"):
        return "kubernetes", "Kubernetes", text_at(data, "gitVersion").removeprefix("v")
    if text_at(data, "ApiVersion") and text_at(data, "Version"):
        return "docker", "Docker Engine", text_at(data, "Version")
    return "", "", ""


def by_metrics(body: bytes) -> tuple[str, str, str]:
    """(name, product, version) by the build that an exporter tells."""
    for found in BUILD.finditer(body):
        if found[1].decode() not in LIBRARIES:
            return "prometheus-exporter", clean(found[1], 64), clean(found[2], 64)
    return "", "", ""


def _more(heard: Heard, place: Place, answer: HttpAnswer) -> Asking[tuple[str, str, str]]:
    """One more question where the first answer names nobody."""
    told = by_json(answer.data)
    if told[0]:
        return told
    if "x-influxdb-version" in answer.headers:
        return "influxdb", "InfluxDB", answer.headers["x-influxdb-version"]
    if "server" in answer.headers or not answer.complete:
        return "", "", ""
    if "exporter" in answer.title.lower() or b"/metrics" in answer.body:
        metrics = yield from read_answer(heard, request(METRICS_PATH, host_of(place), keep=False))
        return by_metrics(metrics.body) if metrics is not None else ("", "", "")
    version = yield from read_answer(heard, request("/version", host_of(place), keep=False))
    return by_json(version.data) if version is not None else ("", "", "")


def talk(place: Place) -> Talk:
    """Ask for the root and read what server, title and status say."""
    heard = Heard()
    answer = yield from read_answer(heard, request("/", host_of(place), keep=True))
    if answer is None:
        return None
    facts = details(
        status=answer.status, server=answer.headers.get("server"), title=answer.title,
        redirect=answer.headers.get("location"), login=answer.headers.get("www-authenticate"),
        powered_by=answer.headers.get("x-powered-by"), via=answer.headers.get("via"),
        proxy_login=answer.headers.get("proxy-authenticate"),
    )  # fmt: skip
    product, version = software_of(answer.headers)
    name = "http"
    if product == "CUPS":
        name = "ipp"
        version = (re.search(r"CUPS v([\d.]+)", answer.title) or ["", version])[
            1
        ]  # Server has the first two numbers alone
    elif product in PROXIES or "x-squid-error" in answer.headers:
        name = "http-proxy"
    elif "docker-distribution-api-version" in answer.headers:
        name, product = "docker-registry", product or "Docker Registry"
    else:
        told, other, number = yield from _more(heard, place, answer)
        if told:
            name, product, version = told, other, number
            facts |= details(open_to_all=told in ("elasticsearch", "couchdb", "etcd-client", "docker"))
    if product == "Docker Engine" or (
        name == "http" and "api-version" in answer.headers and "ostype" in answer.headers
    ):
        name = "docker"
        facts |= details(open_to_all=answer.status != 401)
    return recognised(name, product, version, confidence=1.0, banner=answer.head, facts=facts)


SPEC: Final = ServiceSpec(
    name="http",
    talk=talk,
    ports=(
        80, 8080, 443, 8443, 631, 3128, 8000, 8008, 8081, 8888, 5000, 3000, 9090, 9100, 9200, 2375, 2379, 5984, 8086, 5985,
        10000, 7080, 9443, 2376, 15672, 8118,
    ),
)  # fmt: skip
