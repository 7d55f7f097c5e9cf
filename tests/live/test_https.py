"""The page over HTTPS with one's own certificate, and who is believed about where a request comes from."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from lab.namespaces import Namespaces
from lab.service import LiveService
from nsm.store.accounts import Accounts
from tests.live.test_bad_input import nsm

pytestmark = [pytest.mark.net, pytest.mark.slow]


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    path = tmp_path / "both.pem"
    made = subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=nsm.test", "-keyout", "-"],
        capture_output=True, check=True,
    )  # fmt: skip
    path.write_bytes(made.stdout)
    return path


def test_the_page_is_served_over_https_with_cookies_for_it_alone(
    lab: Namespaces, tmp_path: Path, certificate: Path
) -> None:
    environ = {"NSM_SERVE__TLS_CERTIFICATE": str(certificate)}
    with LiveService(lab, "b", tmp_path / "data", port=8067, environ=environ) as service:
        assert service.link.startswith("https://127.0.0.1:8067/login#link=")
        token = service.link.partition("#link=")[2]
        body = json.dumps({"token": token, "password": "battery staple"})
        said = lab.run(
            "b", "curl", "-ksi", "-H", "Content-Type: application/json", "-H", "X-Forwarded-For: 203.0.113.9", "-d", body,
            "https://127.0.0.1:8067/api/v1/link",
        )  # fmt: skip
        assert "secure" in next(line for line in said.lower().splitlines() if line.startswith("set-cookie"))
        accounts = Accounts(service.data)
        entry = next(item for item in accounts.audit_log() if item["action"] == "password set by link")
        accounts.close()
        assert entry["detail"] == "127.0.0.1"  # nobody is believed who was not named


def test_a_named_proxy_is_believed_about_addresses(lab: Namespaces, tmp_path: Path) -> None:
    environ = {"NSM_SERVE__PROXIES": '["127.0.0.1"]'}
    with LiveService(lab, "b", tmp_path / "data", port=8068, environ=environ) as service:
        body = json.dumps({"name": "admin", "password": "a wrong guess"})
        lab.run(
            "b", "curl", "-s", "-H", "Content-Type: application/json", "-H", "X-Forwarded-For: 203.0.113.9", "-d", body,
            "http://127.0.0.1:8068/api/v1/login",
        )  # fmt: skip
        accounts = Accounts(service.data)
        entry = next(item for item in accounts.audit_log() if item["action"] == "login refused")
        accounts.close()
        assert entry["detail"] == "203.0.113.9"


@pytest.mark.parametrize("content", [None, "no certificate"])
def test_a_certificate_that_cannot_be_used_is_an_error_at_the_start(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "c.pem"
    if content is not None:
        path.write_text(content)
    code, lines, _ = nsm(
        tmp_path, "run", "-i", "lo", "--listen", "127.0.0.1:0", environ={"NSM_SERVE__TLS_CERTIFICATE": str(path)}
    )
    assert code == 2
    assert lines[0].startswith(f"nsm: cannot serve HTTPS: {path}")
    assert len(lines) == 3
