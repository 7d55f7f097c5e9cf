"""Services that no lab of ours has: answers written from the protocols' documents."""

from __future__ import annotations

import pytest

from nsm.model.interfaces import Place
from nsm.scan.fingerprint import all_services
from tests.scan.playing import held


def bson(*pairs: bytes) -> bytes:
    body = b"".join(pairs) + b"\0"
    return (len(body) + 4).to_bytes(4, "little") + body


def op_msg(document: bytes) -> bytes:
    body = bytes(4) + b"\0" + document
    return b"".join(item.to_bytes(4, "little") for item in (16 + len(body), 9, 1, 2013)) + body


def text(name: bytes, value: bytes) -> bytes:
    return b"\x02" + name + b"\0" + (len(value) + 1).to_bytes(4, "little") + value + b"\0"


def test_mongodb_tells_its_version() -> None:
    hello = op_msg(
        bson(
            b"\x08isWritablePrimary\0\1",
            b"\x03topologyVersion\0" + bson(),
            b"\x10maxWireVersion\0" + (21).to_bytes(4, "little"),
        )
    )
    build = op_msg(bson(text(b"version", b"7.0.5"), b"\x01ok\0" + bytes(8)))
    found = held("mongodb", b"", hello, build)
    assert found is not None
    assert (found.product, found.version, found.details["wire_version"]) == ("MongoDB", "7.0.5", "21")


def test_sql_server_tells_its_version_before_the_log_in() -> None:
    options = bytes.fromhex("00000b00060100110001ff0f0007d0000002")  # [MS-TDS] 4.1, with version 15.0.2000
    answer = bytes.fromhex("04010000000001 00".replace(" ", "")) + options
    answer = answer[:2] + len(answer).to_bytes(2, "big") + answer[4:]
    found = held("ms_sql", b"", answer)
    assert found is not None
    assert (found.version, found.details["release"]) == ("15.0.2000", "2019")


def test_windows_remote_desktop_chooses_credssp() -> None:
    found = held("rdp", b"", bytes.fromhex("030000130ed000001234000209080002000000"))
    assert found is not None
    assert (found.product, found.details["nla"]) == ("", "yes")


def test_remote_desktop_that_demands_something_else_is_still_remote_desktop() -> None:
    found = held("rdp", b"", bytes.fromhex("030000130ed000001234000300080005000000"))
    assert found is not None
    assert found.details["refused"] == "CredSSP required"


def test_smb_1_is_found_where_it_is_accepted() -> None:
    head = b"\xffSMB\x72" + bytes(4) + b"\x98\x01\x28" + bytes(20)
    body = bytes([17]) + b"\0\0" + bytes(32) + b"\0\0"
    message = head + body
    found = held("smb1", b"", len(message).to_bytes(4, "big") + message)
    assert found is not None
    assert found.details["smb1"] == "yes"


@pytest.mark.parametrize(
    ("body", "name", "product", "version"),
    [
        (
            b'{"name":"n","tagline":"You Know, for Search","version":{"number":"8.11.1"}}',
            "elasticsearch",
            "Elasticsearch",
            "8.11.1",
        ),
        (
            b'{"tagline":"t","version":{"distribution":"opensearch","number":"2.9.0"}}',
            "elasticsearch",
            "OpenSearch",
            "2.9.0",
        ),
        (b'{"couchdb":"Welcome","version":"3.3.2"}', "couchdb", "CouchDB", "3.3.2"),
    ],
)
def test_stores_with_an_http_interface(body: bytes, name: str, product: str, version: str) -> None:
    head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(body)
    found = held("http", b"", head + body)
    assert found is not None
    assert (found.name, found.product, found.version) == (name, product, version)
    assert found.details["open_to_all"] == "yes"


def test_docker_is_named_by_its_own_header() -> None:
    head = b"HTTP/1.1 404 Not Found\r\nApi-Version: 1.41\r\nOstype: linux\r\nServer: Docker/20.10.24 (linux)\r\n"
    head += b"Content-Length: 0\r\n\r\n"
    found = held("http", b"", head)
    assert found is not None
    assert (found.name, found.product, found.version) == ("docker", "Docker Engine", "20.10.24")


def test_a_page_in_chunks_has_its_title() -> None:
    head = b'HTTP/1.1 401 Unauthorized\r\nTransfer-Encoding: chunked\r\nServer: X\r\nWWW-Authenticate: Basic realm="r"\r\n\r\n'
    found = held("http", b"", head + b"7\r\n<title>\r\n5;x=y\r\nA&amp\r\n9\r\n; B</titl\r\n2\r\ne>\r\n0\r\n\r\n")
    assert found is not None
    assert (found.details["title"], found.details["login"]) == ("A& B", 'Basic realm="r"')


def test_a_jetdirect_printer_tells_its_model() -> None:
    found = held("jetdirect", b"", b'@PJL INFO ID\r\n"HP LaserJet 4000 Series"\r\n\x0c')
    assert found is not None
    assert found.product == "HP LaserJet 4000 Series"


def test_a_controller_tells_maker_and_model() -> None:
    objects = b"".join(bytes((at, len(value))) + value for at, value in enumerate((b"Maker", b"PLC-1", b"v2.1")))
    pdu = bytes.fromhex("2b0e0101000003") + objects
    found = held("modbus", b"", b"ns\0\0" + (len(pdu) + 1).to_bytes(2, "big") + b"\xff" + pdu)
    assert found is not None
    assert (found.product, found.version) == ("Maker PLC-1", "v2.1")


@pytest.mark.parametrize("key", ["sip", "sip_udp"])
def test_a_telephone_exchange_tells_its_software(key: str) -> None:
    answer = b"SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP nsm.invalid\r\nServer: Asterisk PBX 18.10.0\r\n"
    answer += b"Allow: INVITE, ACK\r\nContent-Length: 0\r\n\r\n"
    found = held(key, b"", answer)
    assert found is not None
    assert (found.product, found.version) == ("Asterisk", "18.10.0")


def test_zookeeper_tells_its_version() -> None:
    found = held(
        "zookeeper",
        b"",
        b"Zookeeper version: 3.8.0-5a02a05eddb59aee6ac762f7ea82e92a68eb9c0f, built on 2022\nMode: standalone\n",
    )
    assert found is not None
    assert (found.version, found.details["mode"]) == ("3.8.0", "standalone")


def test_ntpd_that_answers_control_questions_tells_its_version() -> None:
    answer = b"\x24\x02\x06\xec" + bytes(8) + bytes([192, 0, 2, 1]) + bytes(8) + b"nsm-asks" + bytes(16)
    control = (
        bytes.fromhex("1682000100000000000000 40".replace(" ", "")) + b'version="ntpd 4.2.8p15@1.3728-o", processor="x"'
    )
    found = held("ntp", b"", answer, control)
    assert found is not None
    assert (found.product, found.version, found.details["control_open"]) == ("ntpd", "4.2.8p15", "yes")


def test_active_directory_is_known_by_its_root() -> None:
    def octets(value: bytes, tag: int = 4) -> bytes:
        return bytes((tag, len(value))) + value

    attribute = octets(octets(b"forestFunctionality") + octets(octets(b"7"), 0x31), 0x30)
    entry = octets(octets(b"") + octets(attribute, 0x30), 0x64)
    found = held("ldap", b"", octets(b"\x02\x01\x01" + entry, 0x30))
    assert found is not None
    assert found.product == "Active Directory"


def test_an_old_ssh_server_without_our_algorithms_is_named_all_the_same() -> None:
    found = held("ssh", b"SSH-1.5-Cisco-1.25\r\n")
    assert found is not None
    assert (found.product, found.version, found.details["protocol"]) == ("Cisco SSH", "1.25", "1.5")


def test_a_name_is_told_to_servers_of_several_names() -> None:
    talk = all_services()["http"].talk(Place(address="192.0.2.7", port=8080, name="www.example"))
    assert b"\r\nHost: www.example:8080\r\n" in next(talk)
    talk = all_services()["http"].talk(Place(address="2001:db8::1", port=80))
    assert b"\r\nHost: [2001:db8::1]\r\n" in next(talk)


def test_a_small_device_with_bare_line_ends_is_read_all_the_same() -> None:
    found = held("http", b"", b"HTTP/1.0 200 OK\nServer: mini_httpd/1.30\n\n<title>Camera</title>")
    assert found is not None
    assert (found.product, found.version, found.details["title"]) == ("mini_httpd", "1.30", "Camera")


def test_a_news_server_tells_its_implementation() -> None:
    capabilities = b"101 Capability list:\r\nVERSION 2\r\nIMPLEMENTATION INN 2.7.1\r\nREADER\r\n.\r\n"
    found = held("nntp", b"201 news.example InterNetNews NNRP server INN 2.7.1 ready\r\n", capabilities)
    assert found is not None
    assert (found.name, found.product, found.version) == ("nntp", "INN", "2.7.1")
