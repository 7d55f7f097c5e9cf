"""Kerberos messages, as datagrams, in TCP, or inside the logins of other protocols. RFC 4120, section 5."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from nsm.errors import MalformedError
from nsm.model.protocol import Conversation, Record, Row, Time
from nsm.wire import der

NAME_BYTES_MAX: Final = 1024  # ours: of one part of a name
NAME_PARTS_MAX: Final = 16  # ours: there are one to three

AS_REQ: Final = 10
AS_REP: Final = 11
TGS_REQ: Final = 12
TGS_REP: Final = 13
AP_REQ: Final = 14
AP_REP: Final = 15
ERROR: Final = 30

TYPES: Final = {10: "KRB_AS_REQ", 11: "KRB_AS_REP", 12: "KRB_TGS_REQ", 13: "KRB_TGS_REP", 14: "KRB_AP_REQ",
                15: "KRB_AP_REP", 30: "KRB_ERROR"}  # fmt: skip

CIPHERS: Final = {  # IANA "Kerberos Encryption Type Numbers"
    1: "des-cbc-crc", 2: "des-cbc-md4", 3: "des-cbc-md5", 4: "des-cbc-raw", 5: "des3-cbc-md5", 6: "des3-cbc-raw",
    7: "des3-cbc-sha1", 8: "des-hmac-sha1", 16: "des3-cbc-sha1-kd", 17: "aes128-cts-hmac-sha1-96",
    18: "aes256-cts-hmac-sha1-96", 19: "aes128-cts-hmac-sha256-128", 20: "aes256-cts-hmac-sha384-192", 23: "rc4-hmac",
    24: "rc4-hmac-exp", 25: "camellia128-cts-cmac", 26: "camellia256-cts-cmac", 65: "subkey-keymaterial",
    -128: "rc4-md4", -133: "rc4-hmac-old", -135: "rc4-hmac-old-exp",
}  # fmt: skip

_ERRORS_FROM_0: Final = """
KDC_ERR_NONE KDC_ERR_NAME_EXP KDC_ERR_SERVICE_EXP KDC_ERR_BAD_PVNO KDC_ERR_C_OLD_MAST_KVNO KDC_ERR_S_OLD_MAST_KVNO
KDC_ERR_C_PRINCIPAL_UNKNOWN KDC_ERR_S_PRINCIPAL_UNKNOWN KDC_ERR_PRINCIPAL_NOT_UNIQUE KDC_ERR_NULL_KEY
KDC_ERR_CANNOT_POSTDATE KDC_ERR_NEVER_VALID KDC_ERR_POLICY KDC_ERR_BADOPTION KDC_ERR_ETYPE_NOSUPP
KDC_ERR_SUMTYPE_NOSUPP KDC_ERR_PADATA_TYPE_NOSUPP KDC_ERR_TRTYPE_NOSUPP KDC_ERR_CLIENT_REVOKED KDC_ERR_SERVICE_REVOKED
KDC_ERR_TGT_REVOKED KDC_ERR_CLIENT_NOTYET KDC_ERR_SERVICE_NOTYET KDC_ERR_KEY_EXPIRED KDC_ERR_PREAUTH_FAILED
KDC_ERR_PREAUTH_REQUIRED KDC_ERR_SERVER_NOMATCH KDC_ERR_MUST_USE_USER2USER KDC_ERR_PATH_NOT_ACCEPTED
KDC_ERR_SVC_UNAVAILABLE ? KRB_AP_ERR_BAD_INTEGRITY KRB_AP_ERR_TKT_EXPIRED KRB_AP_ERR_TKT_NYV KRB_AP_ERR_REPEAT
KRB_AP_ERR_NOT_US KRB_AP_ERR_BADMATCH KRB_AP_ERR_SKEW KRB_AP_ERR_BADADDR KRB_AP_ERR_BADVERSION KRB_AP_ERR_MSG_TYPE
KRB_AP_ERR_MODIFIED KRB_AP_ERR_BADORDER ? KRB_AP_ERR_BADKEYVER KRB_AP_ERR_NOKEY KRB_AP_ERR_MUT_FAIL
KRB_AP_ERR_BADDIRECTION KRB_AP_ERR_METHOD KRB_AP_ERR_BADSEQ KRB_AP_ERR_INAPP_CKSUM KRB_AP_PATH_NOT_ACCEPTED
KRB_ERR_RESPONSE_TOO_BIG ? ? ? ? ? ? ? KRB_ERR_GENERIC KRB_ERR_FIELD_TOOLONG KDC_ERR_CLIENT_NOT_TRUSTED
KDC_ERR_KDC_NOT_TRUSTED KDC_ERR_INVALID_SIG KDC_ERR_KEY_TOO_WEAK KDC_ERR_CERTIFICATE_MISMATCH KRB_AP_ERR_NO_TGT
KDC_ERR_WRONG_REALM
"""
ERRORS: Final = dict(enumerate(_ERRORS_FROM_0.split()))

_WEAK: Final = frozenset((1, 2, 3, 4, 8, 23, 24, -128, -133, -135))  # RFC 6649, RFC 8429


class KerberosRow(Row):
    """A request and its answer in Zeek's kerberos.log."""

    request_type: str | None
    client: str | None
    service: str | None
    success: bool | None
    error_msg: str | None
    till: Time | None
    cipher: str | None
    forwardable: bool | None
    renewable: bool | None


class Krb5(Record):
    """A message."""

    msg_type: str
    cname: str
    realm: str
    sname: str
    encryption: str
    weak_encryption: bool
    ticket_encryption: str | None = None
    ticket_weak_encryption: bool | None = None
    error_code: str | None = None
    failed_request: str | None = None


class Message:
    """What a message says."""

    def __init__(self, kind: int) -> None:
        self.kind = kind
        self.cname: str | None = None
        self.realm: str | None = None
        self.sname: str | None = None
        self.etype: int | None = None
        self.ticket_etype: int | None = None
        self.options = 0
        self.till: float | None = None
        self.error: int | None = None


def cipher_name(etype: int) -> str:
    """The name of an encryption type."""
    return CIPHERS.get(etype) or f"unknown-{etype}"


def is_weak(etype: int | None) -> bool:
    """Is it broken?"""
    return etype in _WEAK


def _fields(data: bytes, at: int, end: int) -> dict[int, tuple[int, int]]:
    """Number -> (start, end) of the context tags of a sequence."""
    _, start, stop = der.expect(data, at, end, der.SEQUENCE)
    return {tag & 0x1F: (one, two) for tag, one, two in der.elements(data, start, stop) if tag & 0xE0 == 0xA0}


def _integer(data: bytes, at: tuple[int, int]) -> int:
    _, start, end = der.expect(data, at[0], at[1], der.INTEGER)
    return der.integer(data, start, min(end, start + 8))


def _string(data: bytes, at: tuple[int, int]) -> str:
    _, start, end = der.element(data, at[0], at[1])
    return data[start : min(end, start + NAME_BYTES_MAX)].decode("utf-8", "backslashreplace")


def _name(data: bytes, at: tuple[int, int]) -> str:
    """A PrincipalName, its parts joined by a slash."""
    parts = _fields(data, at[0], at[1]).get(1)
    if parts is None:
        return ""
    _, start, end = der.expect(data, parts[0], parts[1], der.SEQUENCE)
    listed = der.elements(data, start, end)[:NAME_PARTS_MAX]
    return "/".join(
        [data[one : min(two, one + NAME_BYTES_MAX)].decode("utf-8", "backslashreplace") for _, one, two in listed]
    )


def _etype(data: bytes, at: tuple[int, int]) -> int | None:
    """The type of an EncryptedData."""
    found = _fields(data, at[0], at[1]).get(0)
    return _integer(data, found) if found is not None else None


def _ticket(message: Message, data: bytes, at: tuple[int, int]) -> None:
    _, start, end = der.expect(data, at[0], at[1], 0x61)
    fields = _fields(data, start, end)
    if 1 in fields and message.realm is None:
        message.realm = _string(data, fields[1])
    if 2 in fields:
        message.sname = _name(data, fields[2])
    if 3 in fields:
        message.ticket_etype = _etype(data, fields[3])


def _request(message: Message, data: bytes, at: tuple[int, int]) -> None:
    body = _fields(data, at[0], at[1])
    if 0 in body:
        _, start, end = der.expect(data, body[0][0], body[0][1], der.BIT_STRING)
        message.options = int.from_bytes(data[start + 1 : min(end, start + 5)], "big")
    if 1 in body:
        message.cname = _name(data, body[1])
    if 2 in body:
        message.realm = _string(data, body[2])
    if 3 in body:
        message.sname = _name(data, body[3])
    if 5 in body:
        try:
            when = datetime.strptime(_string(data, body[5]), "%Y%m%d%H%M%SZ").replace(tzinfo=UTC)
            message.till = when.timestamp()
        except (ValueError, OverflowError):
            message.till = None


def parse(data: bytes) -> Message:
    """Read one message."""
    tag, start, end = der.element(data, 0, len(data))
    kind = tag & 0x1F
    if tag & 0xE0 != 0x60 or kind not in TYPES:
        raise MalformedError("malformed_data")
    message = Message(kind)
    fields = _fields(data, start, end)
    if kind in {AS_REQ, TGS_REQ}:
        if 4 in fields:
            _request(message, data, fields[4])
    elif kind in {AS_REP, TGS_REP}:
        if 3 in fields:
            message.realm = _string(data, fields[3])
        if 4 in fields:
            message.cname = _name(data, fields[4])
        if 5 in fields:
            _ticket(message, data, fields[5])
        if 6 in fields:
            message.etype = _etype(data, fields[6])
    elif kind == AP_REQ:
        if 3 in fields:
            _ticket(message, data, fields[3])
    elif kind == ERROR:
        if 6 in fields:
            message.error = _integer(data, fields[6])
        if 8 in fields:
            message.cname = _name(data, fields[8])
        if 10 in fields:
            message.sname = _name(data, fields[10])
    return message


def find_ap_req(blob: bytes) -> Message | None:
    """The AP-REQ in a login by SPNEGO. RFC 4121, section 4.1: behind the token id 01 00."""
    at = blob.find(b"\x01\x00\x6e")
    if at < 0:
        return None
    try:
        return parse(blob[at + 2 :])
    except MalformedError:
        return None


class Exchange:
    """Pairs requests with answers for Zeek's log."""

    def __init__(self, conv: Conversation) -> None:
        self._conv = conv
        self._open: Message | None = None

    @property
    def asked(self) -> int:
        """The type of the request that waits, 0 for none."""
        return self._open.kind if self._open is not None else 0

    def take(self, message: Message) -> None:
        """A message: a request waits, an answer makes a row."""
        if message.kind in {AS_REQ, TGS_REQ, AP_REQ}:
            self.finish()
            self._open = message
            return
        self._row(self._open, message)
        self._open = None

    def _row(self, request: Message | None, answer: Message | None) -> None:
        if not self._conv.rows:
            return
        failed = answer is not None and answer.kind == ERROR
        client = service = cipher = None
        if request is not None:
            client, service = f"{request.cname or ''}/{request.realm or ''}", request.sname
        if answer is not None and answer.kind in {AS_REP, TGS_REP}:
            if request is None or request.cname is None:
                client = f"{answer.cname or ''}/{answer.realm or ''}"
            service = answer.sname or service
            cipher = answer.ticket_etype
        elif request is not None and answer is not None and service is None:
            service = answer.sname
        if request is not None and request.kind == AP_REQ:
            cipher = request.ticket_etype
        kinds = {AS_REQ: "AS", TGS_REQ: "TGS", AP_REQ: "AP", AS_REP: "AS", TGS_REP: "TGS", AP_REP: "AP"}
        source = request if request is not None else answer
        asked = request is not None and request.kind != AP_REQ
        error = answer.error if answer is not None and failed else None
        self._conv.row(
            KerberosRow(
                request_type=kinds.get(source.kind) if source is not None else None,
                client=client, service=service, success=None if answer is None else not failed,
                error_msg=ERRORS.get(error, f"unknown-{error}") if error is not None else None,
                till=Time(request.till) if request is not None and request.till is not None else None,
                cipher=cipher_name(cipher) if cipher is not None else None,
                # RFC 4120, section 5.4.1: bits from the left
                forwardable=bool(request.options >> 30 & 1) if request is not None and asked else None,
                renewable=bool(request.options >> 23 & 1) if request is not None and asked else None,
            )
        )  # fmt: skip

    def accepted(self, good: bool) -> None:
        """The login that carried an AP-REQ was answered."""
        if self._open is None:
            return
        answer = Message(AP_REP if good else ERROR)
        self._row(self._open, answer)
        self._open = None

    def finish(self) -> None:
        """No answer came."""
        if self._open is not None:
            self._row(self._open, None)
            self._open = None
