"""IKE: one ``ike`` event a message, versions 1 and 2. RFC 2408, RFC 2409; RFC 7296. With NAT, RFC 3948.

Of proposals only what is offered in clear is read. ESP behind UDP port 4500 is recognised and not looked at.
"""

from __future__ import annotations

from struct import Struct
from typing import Any, Final

from nsm.model.protocol import Conversation, Match, ProtocolSpec, Record, Side

HEADER: Final = Struct("!QQBBBBII")  # RFC 7296, section 3.1; RFC 2408, section 3.1
MARKER: Final = b"\0\0\0\0"  # RFC 3948, section 2.2: this is no ESP
PAYLOADS_MAX: Final = 64  # ours: of a message
PROPOSALS_MAX: Final = 256  # ours: attributes of a message that are shown
RECORD_VERSION: Final = 2
ENCRYPTED_1: Final = 1  # RFC 2408, section 3.1: flag
INITIATOR: Final = 8  # RFC 7296, section 3.1: flag
SA_1, KEY_1, ID_1, NONCE_1, VENDOR_1 = 1, 4, 5, 10, 13  # RFC 2408, section 3.1
SA_2, KEY_2, NOTIFY_2, ENCRYPTED_2 = 33, 34, 41, 46  # RFC 7296, section 3.2
EXCHANGES: Final = {
    0: "None", 1: "Base", 2: "Identity Protection", 3: "Authentication Only", 4: "Aggressive", 5: "Informational",
    6: "Transaction", 32: "Quick Mode", 33: "New Group Mode",
}  # fmt: skip # RFC 2408, section 3.1; RFC 2409, appendix A
PAYLOADS_1: Final = {
    0: "NoNextPayload", 1: "SecurityAssociation", 2: "Proposal", 3: "Transform", 4: "KeyExchange", 5: "Identification",
    6: "Certificate", 7: "CertificateRequest", 8: "Hash", 9: "Signature", 10: "Nonce", 11: "Notification", 12: "Delete",
    13: "VendorID", 15: "SaKekPayload", 16: "SaTekPayload", 17: "KeyDownload", 18: "SequenceNumber", 19: "ProofOfPossession",
    20: "NatDiscovery", 21: "NatOriginalAddress", 22: "GroupAssociatedPolicy",
}  # fmt: skip # IANA, "ISAKMP payload types"
PAYLOADS_2: Final = {
    0: "NoNextPayload", 33: "SecurityAssociation", 34: "KeyExchange", 35: "IdentInitiator", 36: "IdentResponder",
    37: "Certificate", 38: "CertificateRequest", 39: "Authentication", 40: "Nonce", 41: "Notify", 42: "Delete",
    43: "VendorID", 44: "TrafficSelectorInitiator", 45: "TrafficSelectorResponder", 46: "EncryptedAndAuthenticated",
    47: "Configuration", 48: "ExtensibleAuthentication", 49: "GenericSecurePasswordMethod", 50: "GroupIdentification",
    51: "GroupSecurityAssociation", 52: "KeyDownload", 53: "EncryptedAndAuthenticatedFragment",
}  # fmt: skip # IANA, "IKEv2 Payload Types"
NOTIFIES: Final = {
    1: "UnsupportedCriticalPayload", 4: "InvalidIkeSpi", 5: "InvalidMajorVersion", 7: "InvalidSyntax", 9: "InvalidMessageId",
    11: "InvalidSpi", 14: "NoProposalChosen", 17: "InvalidKePayload", 24: "AuthenticationFailed", 34: "SinglePairRequired",
    35: "NoAdditionalSas", 36: "InternalAddressFailure", 37: "FailedCpRequired", 38: "TsUnacceptable",
    39: "InvalidSelectors", 43: "TemporaryFailure", 44: "ChildSaNotFound", 16384: "InitialContact", 16385: "SetWindowSize",
    16386: "AdditionalTsPossible", 16387: "IpcompSupported", 16388: "NatDetectionSourceIp",
    16389: "NatDetectionDestinationIp", 16390: "Cookie", 16391: "UseTransportMode", 16392: "HttpCertLookupSupported",
    16393: "RekeySa", 16394: "EspTfcPaddingNotSupported", 16395: "NonFirstFragmentsAlso",
}  # fmt: skip # RFC 7296, section 3.10.1
NOTIFY_ERRORS_BELOW: Final = 16384  # RFC 7296, section 3.10.1
# Phase 1 attributes, RFC 2409, appendix A, and IANA, "IPsec registry": key, names of values.
ATTRIBUTES: Final[dict[int, tuple[str, dict[int, str]]]] = {
    1: ("alg_enc", {1: "EncDesCbc", 2: "EncIdeaCbc", 3: "EncBlowfishCbc", 4: "EncRc5R16B64Cbc", 5: "EncTripleDesCbc",
                    6: "EncCastCbc", 7: "EncAesCbc", 8: "EncCamelliaCbc"}),
    2: ("alg_hash", {1: "HashMd5", 2: "HashSha", 3: "HashTiger", 4: "HashSha2_256", 5: "HashSha2_384", 6: "HashSha2_512"}),
    3: ("alg_auth", {1: "AuthPreSharedKey", 2: "AuthDssSignatures", 3: "AuthRsaSignatures", 4: "AuthEncryptionWithRsa",
                     5: "AuthRevEncryptionWithRsa"}),
    4: ("alg_dh", {1: "GroupDefault768BitModp", 2: "GroupAlternate1024BitModpGroup", 3: "GroupEc2nOnGp2p155",
                   4: "GroupEc2nOnGp2p185", 5: "Group1536BitModp", 14: "Group2048BitModp", 15: "Group3072BitModp",
                   16: "Group4096BitModp", 17: "Group6144BitModp", 18: "Group8192BitModp", 19: "GroupEcModp256Random",
                   20: "GroupEcModp384Random", 21: "GroupEcModp521Random"}),
    11: ("sa_life_type", {1: "LifeTypeSeconds", 2: "LifeTypeKilobytes"}),
    12: ("sa_life_duration", {}),
    14: ("sa_key_length", {}),
}  # fmt: skip
WEAK_ENCRYPTION: Final = frozenset(
    (1, 2, 3, 4, 5, 6, 7, 8, 9, 11)
)  # RFC 8247, section 2.1: all older than AES, and none
WEAK_PRF: Final = frozenset((1, 3))  # RFC 8247, section 2.2: MD5, Tiger
WEAK_AUTH: Final = frozenset((1, 3, 4))  # RFC 8247, section 2.3: MD5, DES, KPDK
WEAK_DH: Final = frozenset((1, 2, 5, 22))  # RFC 8247, section 2.4


class ClientKeys(Record):
    """What the client of version 1 sent."""

    key_exchange_payload: str | None = None
    key_exchange_payload_length: int | None = None
    nonce_payload: str | None = None
    nonce_payload_length: int | None = None
    proposals: list[dict[str, Any]] | None = None


class Ike1(Record):
    """What version 1 alone has."""

    encrypted_payloads: bool
    doi: int | None = None
    client: ClientKeys | None = None
    server: ClientKeys | None = None
    vendor_ids: list[str] | None = None


class Ike2(Record):
    """What version 2 alone has."""

    errors: int
    notify: list[str]


class Ike(Record):
    """A message."""

    version_major: int
    version_minor: int
    exchange_type: int
    message_id: int
    init_spi: str
    resp_spi: str
    exchange_type_verbose: str | None = None
    role: str | None = None
    payload: list[str] | None = None
    attributes: list[dict[str, Any]] | None = None
    ikev1: Ike1 | None = None
    ikev2: Ike2 | None = None


def attributes_of(data: bytes, at: int, end: int) -> list[dict[str, Any]]:
    """Attributes of a transform, RFC 2408, section 3.3."""
    found: list[dict[str, Any]] = []
    while at + 4 <= end and len(found) < PROPOSALS_MAX:
        kind, value = data[at] << 8 | data[at + 1], data[at + 2] << 8 | data[at + 3]
        at += 4
        if not kind & 0x8000:
            size = value
            value = int.from_bytes(data[at : min(end, at + min(size, 8))], "big")
            at += size
        key, names = ATTRIBUTES.get(kind & 0x7FFF, ("", {}))
        if key:
            found.append({"key": key, "value": names.get(value, "Unknown"), "raw": value})
    return found


def _list(data: bytes, first: int, at: int, end: int) -> list[tuple[int, int, int]]:
    """(type, start, end of the body) of each payload."""
    found: list[tuple[int, int, int]] = []
    while first and at + 4 <= end and len(found) < PAYLOADS_MAX:
        size = data[at + 2] << 8 | data[at + 3]
        if size < 4 or at + size > end:
            break
        found.append((first, at + 4, at + size))
        first, at = data[at], at + size
    return found


def probe(data: bytes, side: Side, port: bool) -> Match:
    """A header with a known version and its own length; on port 4500 behind a marker, or ESP."""
    at = 4 if data[:4] == MARKER else 0
    if len(data) < at + HEADER.size:
        return Match.NO
    initiator, _, payload, version, exchange, flags, _, size = HEADER.unpack_from(data, at)
    if size == len(data) - at and initiator:
        if version == 0x10 and exchange in EXCHANGES and payload < 23 and flags < 8:
            return Match.YES
        if version >> 4 == 2 and 34 <= exchange <= 44 and (payload in PAYLOADS_2) and not flags & 0xC7:
            return Match.YES
    # ESP has no magic: a small sequence number at the start of a flow on the port has to do, RFC 4303, section 2.
    young = port and not at and len(data) >= 44 and len(data) % 4 == 0 and data[4:6] == b"\0\0" and data[0:4] != MARKER
    return Match.YES if young and data[:2] != b"\0\0" else Match.NO


class IkeParser:
    """One per flow."""

    def __init__(self, conv: Conversation) -> None:
        self._conv = conv
        self._events = conv.wants("ike")
        self._count = 0

    def feed(self, side: Side, data: bytes) -> int:
        """Read one message."""
        at = 4 if data[:4] == MARKER else 0
        if len(data) < at + HEADER.size:
            return len(data)
        initiator, responder, payload, version, exchange, flags, ident, size = HEADER.unpack_from(data, at)
        if version >> 4 not in (1, 2) or not HEADER.size <= size <= len(data) - at:
            if at or version in (0x10, 0x20):
                self._conv.anomaly("malformed_data", side=side, tx_id=self._count)
            return len(data)
        end = at + size
        spis = (f"{initiator:016x}", f"{responder:016x}")
        start = at + HEADER.size
        if version >> 4 == 1:
            event = self._version1(side, data, start, end, (payload, version, exchange, flags, ident), spis)
        else:
            event = self._version2(side, data, start, end, (payload, version, exchange, flags, ident), spis)
        if self._events:
            self._conv.emit("ike", {"ike": event}, sender=side)
        self._count += 1
        return len(data)

    def gap(self, side: Side, size: int) -> bool:
        """Datagrams have none."""
        return False

    def finish(self) -> None:
        """Nothing is open."""

    def _version1(
        self, side: Side, data: bytes, at: int, end: int, head: tuple[int, int, int, int, int], spis: tuple[str, str]
    ) -> dict[str, Any]:
        payload, version, exchange, flags, ident = head
        encrypted = flags & ENCRYPTED_1 != 0
        names: list[str] = []
        doi: int | None = None
        proposals: list[dict[str, Any]] = []
        vendors: list[str] = []
        key: bytes | None = None
        nonce: bytes | None = None
        for kind, first, last in [] if encrypted else _list(data, payload, at, end):
            inner: list[str] = [PAYLOADS_1.get(kind, "Unknown")]
            if kind == SA_1 and last - first >= 8:
                doi = int.from_bytes(data[first : first + 4], "big")
                for offered, begin, stop in _list(data, 2, first + 8, last):
                    inner.append("Proposal")
                    if offered == 2 and begin + 4 <= stop:
                        for _, low, high in _list(data, 3, begin + 4 + data[begin + 2], stop):
                            inner.append("Transform")
                            if len(proposals) < PROPOSALS_MAX:
                                proposals.extend(attributes_of(data, low + 4, high))
            elif kind == VENDOR_1:
                vendors.append(data[first:last].hex())
            elif kind == KEY_1:
                key = data[first:last]
            elif kind == NONCE_1:
                nonce = data[first:last]
            names.extend(name for name in inner if name not in names)
        client = side is Side.CLIENT
        sizes = (None if key is None else len(key), None if nonce is None else len(nonce))
        keys = ClientKeys(
            None if key is None else key.hex(), sizes[0], None if nonce is None else nonce.hex(), sizes[1],
            (proposals or None) if client else None,
        )  # fmt: skip
        said = key is not None or nonce is not None or (client and bool(proposals))
        own = Ike1(
            encrypted, doi, keys if said and client else None, keys if said and not client else None, vendors or None
        )
        event = Ike(
            version >> 4, version & 15, exchange, ident, spis[0], spis[1],
            exchange_type_verbose=EXCHANGES.get(exchange), payload=names or None,
            attributes=None if client else proposals or None, ikev1=own,
        )  # fmt: skip
        return _versioned(event)

    def _version2(
        self, side: Side, data: bytes, at: int, end: int, head: tuple[int, int, int, int, int], spis: tuple[str, str]
    ) -> dict[str, Any]:
        payload, version, exchange, flags, ident = head
        names: list[str] = []
        notify: list[str] = []
        weak: set[str] = set()
        following = payload
        errors = 0
        for kind, first, last in _list(data, payload, at, end):
            names.append(PAYLOADS_2.get(kind, "Unknown"))
            following = data[first - 4]
            if kind == SA_2:
                self._proposals(data, first, last, weak)
            elif kind == NOTIFY_2 and last - first >= 4:
                number = data[first + 2] << 8 | data[first + 3]
                errors += number < NOTIFY_ERRORS_BELOW
                notify.append(NOTIFIES.get(number, f"NotifyType({number})"))
            elif kind == ENCRYPTED_2:
                following = -1  # names a payload inside
                break
        if following == 0:
            names.append("NoNextPayload")
        for event in sorted(weak):
            self._conv.anomaly(event, side=side, tx_id=self._count)
        said = Ike(
            version >> 4, version & 15, exchange, ident, spis[0], spis[1],
            role="initiator" if flags & INITIATOR else "responder", payload=names or None, ikev2=Ike2(errors, notify),
        )  # fmt: skip
        return _versioned(said)

    def _proposals(self, data: bytes, at: int, end: int, weak: set[str]) -> None:
        """Weak algorithms of all that is offered, RFC 7296, section 3.3."""
        for _, first, last in _list(data, 2, at, end):
            if first + 4 > last:
                continue
            for _, low, high in _list(data, 3, first + 4 + data[first + 2], last):
                if low + 4 > high:
                    continue
                kind, algorithm = data[low], data[low + 2] << 8 | data[low + 3]
                if kind == 1 and algorithm in WEAK_ENCRYPTION:
                    weak.add("weak_crypto_enc")
                elif kind == 2 and algorithm in WEAK_PRF:
                    weak.add("weak_crypto_prf")
                elif kind == 3 and algorithm in WEAK_AUTH:
                    weak.add("weak_crypto_auth")
                elif kind == 4 and not algorithm:
                    weak.add("weak_crypto_no_dh")
                elif kind == 4 and algorithm in WEAK_DH:
                    weak.add("weak_crypto_dh")


def _versioned(event: Ike) -> dict[str, Any]:
    """The event's keys with the version of the record, whose name is no field's: it begins with an underscore."""
    found: dict[str, Any] = {"_v": RECORD_VERSION}
    for name in event.__struct_fields__:
        value = getattr(event, name)
        if value is not None:
            found[name] = value
    return found


SPEC: Final = ProtocolSpec(
    name="ike", transports=("udp",), ports=(500, 4500), probe=probe, parser=IkeParser, kinds=("ike",), weight=3
)
