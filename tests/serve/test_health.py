"""Health as the page and Prometheus are told it."""

from __future__ import annotations

import json
import math
import re
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from nsm.errors import ServiceError
from nsm.serve.api.health import LOG_BYTES_MAX, LOG_LINES_MAX, tail
from nsm.serve.metrics import exposition
from nsm.store.health import HealthStore
from tests.serve.kit import HEALTH, PASSWORD, Service

SAMPLE = re.compile(r'([a-z_]+)(\{(?:[a-z_]+="(?:[^"\\\n]|\\["\\n])*",?)*\})? (-?[0-9.e+-]+)')


def test_it_says_what_is_known(http: httpx.Client) -> None:
    found = http.get("/api/v1/health").json()
    assert found["verdicts"][0]["state"] == "warn"
    assert [one["name"] for one in found["processes"]] == ["supervisor", "analyst"]
    assert found["probes"][0]["minute"]["loss"] == 0.1
    assert found["fault"] is None


def test_the_log_is_for_admins(http: httpx.Client, service: Service) -> None:
    (service.store.directory / "nsm.log").write_text(
        '{"ts": "x", "level": "info", "part": "p", "message": "hello"}\nraw\n'
    )
    lines = http.get("/api/v1/health").json()["log"]
    assert [line["message"] for line in lines] == ["hello", "raw"]
    with httpx.Client(base_url=service.url, trust_env=False) as viewer:
        viewer.post("/api/v1/login", json={"name": "looker", "password": PASSWORD})
        assert viewer.get("/api/v1/health").json()["log"] is None


def test_while_the_service_is_away_the_page_still_answers(
    http: httpx.Client, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away() -> dict[str, Any]:
        raise ServiceError("the service does not answer", where="control socket", mend="nsm status")

    monkeypatch.setattr(service.control, "health", away)
    found = http.get("/api/v1/health").json()
    assert found["fault"]["mend"] == "nsm status"
    assert (found["processes"], found["probes"], found["machine"]) == ([], [], None)


def test_history_is_read_from_the_store(http: httpx.Client, service: Service) -> None:
    store, now = HealthStore(service.store.directory), int(time.time()) // 600 * 600
    for minute in range(10):
        store.add(now - 1_200 + 60 * minute, {"probe.192.0.2.1.p50_ms": float(minute), "machine.x": None}, 30)
    store.close()
    asked: dict[str, str | int] = {"series": "probe.", "from": "-2h", "step": 600}
    items = http.get("/api/v1/health/history", params=asked).json()["items"]
    assert items == {"probe.192.0.2.1.p50_ms": [[now - 1_200, 4.5]]}
    assert http.get("/api/v1/health/history", params={"step": 1}).status_code == 400


def test_metrics_are_what_prometheus_reads(http: httpx.Client) -> None:
    answer = http.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    families: dict[str, str] = {}
    for line in answer.text.splitlines():
        if line.startswith("# TYPE "):
            _, _, name, kind = line.split(" ")
            assert name not in families
            families[name] = kind
        elif not line.startswith("#"):
            found = SAMPLE.fullmatch(line)
            assert found, line
            assert found[1] in families
            assert math.isfinite(float(found[3]))
    assert all(name.startswith("nsm_") for name in families)
    assert all(name.endswith("_total") == (kind == "counter") for name, kind in families.items())
    text = answer.text
    assert 'nsm_probe_loss_ratio{target="192.168.1.1",role="gateway",method="icmp"} 0.1' in text
    assert 'nsm_probe_rtt_seconds{target="192.168.1.1",role="gateway",method="icmp",quantile="0.5"} 0.0012' in text
    assert "nsm_machine_temperature_celsius" not in text  # not known, so not 0


def test_metrics_need_a_log_in_or_a_token(http: httpx.Client, service: Service) -> None:
    with httpx.Client(base_url=service.url, trust_env=False) as nobody:
        assert nobody.get("/metrics").status_code == 401
        made = http.post("/api/v1/tokens", json={"label": "prometheus", "scope": "viewer", "days": 1}).json()
        bearer = {"Authorization": f"Bearer {made['token']}"}
        assert nobody.get("/metrics", headers=bearer).status_code == 200


def test_the_dashboard_asks_for_metrics_that_exist() -> None:
    text = (Path(__file__).parents[2] / "docs" / "grafana.json").read_text()
    second = {"score": {"score": 80}, "threats": {"by_severity": {"low": 1}}}
    exposed = set(re.findall(r"^# TYPE (\S+)", exposition(HEALTH, second), re.MULTILINE))
    asked = {name for panel in json.loads(text)["panels"] for target in panel["targets"]
             for name in re.findall(r"nsm_[a-z_]+", target["expr"])}  # fmt: skip
    assert asked
    assert asked <= exposed


def test_labels_are_escaped_and_an_empty_service_gives_no_samples() -> None:
    text = exposition({"processes": [{**HEALTH["processes"][0], "name": 'a"b\\c\nd'}]}, {})
    assert 'nsm_process_up{process="a\\"b\\\\c\\nd"} 1' in text
    assert exposition({}, {}) == "\n"


def test_only_the_end_of_a_long_log_is_read(tmp_path: Path) -> None:
    path = tmp_path / "nsm.log"
    path.write_text("".join(f"line {n} {'x' * 100}\n" for n in range(LOG_BYTES_MAX // 50)))
    lines = tail(path)
    assert len(lines) == LOG_LINES_MAX
    assert lines[-1]["message"].startswith(f"line {LOG_BYTES_MAX // 50 - 1} ")
    assert tail(tmp_path / "none.log") == []
