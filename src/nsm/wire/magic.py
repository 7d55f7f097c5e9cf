"""MIME types by a file's first bytes, with the names that Zeek's logs use. Signatures from the formats' own specifications."""

from __future__ import annotations

from typing import Final

BYTES_MAX: Final = 4096  # ours: how much of a file is looked at; Zeek's default_file_bof_buffer_size

# (offset, bytes, type), the more specific first.
SIGNATURES: Final[tuple[tuple[int, bytes, str], ...]] = (
    (0, b"\x89PNG\r\n\x1a\n", "image/png"), (0, b"GIF87a", "image/gif"), (0, b"GIF89a", "image/gif"),
    (0, b"\xff\xd8\xff", "image/jpeg"), (0, b"BM", "image/x-ms-bmp"), (0, b"II*\0", "image/tiff"),
    (0, b"MM\0*", "image/tiff"), (0, b"\0\0\1\0", "image/x-icon"), (0, b"8BPS", "image/vnd.adobe.photoshop"),
    (8, b"WEBP", "image/webp"), (0, b"\0\0\0\x0cjP  \r\n\x87\n", "image/jp2"),
    (0, b"%PDF-", "application/pdf"), (0, b"%!", "application/postscript"), (0, b"{\\rtf", "text/rtf"),
    (0, b"MZ", "application/x-dosexec"), (0, b"\x7fELF", "application/x-executable"),
    (0, b"\xfe\xed\xfa\xce", "application/x-mach-o-executable"),
    (0, b"\xfe\xed\xfa\xcf", "application/x-mach-o-executable"),
    (0, b"\xce\xfa\xed\xfe", "application/x-mach-o-executable"),
    (0, b"\xcf\xfa\xed\xfe", "application/x-mach-o-executable"),
    (0, b"\xca\xfe\xba\xbe", "application/x-java-applet"), (0, b"dex\n", "application/x-dex"),
    (0, b"PK\3\4", "application/zip"), (0, b"Rar!\x1a\7", "application/x-rar"),
    (0, b"7z\xbc\xaf\x27\x1c", "application/x-7z-compressed"), (0, b"\x1f\x8b", "application/x-gzip"),
    (0, b"BZh", "application/x-bzip2"), (0, b"\xfd7zXZ\0", "application/x-xz"),
    (0, b"\x1f\x9d", "application/x-compress"), (0, b"\x04\x22\x4d\x18", "application/x-lz4"),
    (0, b"MSCF", "application/vnd.ms-cab-compressed"), (0, b"ITSF", "application/vnd.ms-htmlhelp"),
    (0, b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "application/msword"), (257, b"ustar", "application/x-tar"),
    (0, b"!<arch>\ndebian", "application/vnd.debian.binary-package"), (0, b"\xed\xab\xee\xdb", "application/x-rpm"),
    (0, b"FWS", "application/x-shockwave-flash"), (0, b"CWS", "application/x-shockwave-flash"),
    (0, b"ZWS", "application/x-shockwave-flash"), (0, b"FLV\1", "video/x-flv"), (4, b"ftyp", "video/mp4"),
    (4, b"moov", "video/quicktime"), (4, b"mdat", "video/quicktime"), (0, b"\x1aE\xdf\xa3", "video/x-matroska"),
    (0, b"\0\0\1\xba", "video/mpeg"), (0, b"\0\0\1\xb3", "video/mpeg"), (8, b"AVI ", "video/x-msvideo"),
    (8, b"WAVE", "audio/x-wav"), (0, b"ID3", "audio/mpeg"), (0, b"\xff\xfb", "audio/mpeg"), (0, b"OggS", "audio/ogg"),
    (0, b"fLaC", "audio/x-flac"), (0, b"MThd", "audio/midi"), (0, b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", "video/x-ms-asf"),
    (0, b"wOFF", "application/font-woff"), (0, b"wOF2", "application/font-woff2"),
    (0, b"\0\1\0\0\0", "application/x-font-ttf"), (0, b"OTTO", "application/vnd.ms-opentype"),
    (0, b"SQLite format 3\0", "application/x-sqlite3"), (0, b"\xd4\xc3\xb2\xa1", "application/vnd.tcpdump.pcap"),
    (0, b"\xa1\xb2\xc3\xd4", "application/vnd.tcpdump.pcap"), (0, b"d8:announce", "application/x-bittorrent"),
    (0, b"-----BEGIN CERTIFICATE", "application/x-x509-pem"), (0, b"-----BEGIN PGP", "application/pgp"),
    (0, b"Cr24", "application/x-chrome-extension"), (0, b"\x80\0\0", "application/vnd.ms-pki"),
    (0, b"LWFN", "application/x-font-type1"), (0, b"BC\xc0\xde", "application/x-llvm"),
)  # fmt: skip

# Beginnings of text, lower case, behind white space.
TEXTS: Final[tuple[tuple[bytes, str], ...]] = (
    (b"<!doctype html", "text/html"), (b"<html", "text/html"), (b"<head", "text/html"), (b"<title", "text/html"),
    (b"<body", "text/html"), (b"<h1", "text/html"), (b"<script", "text/html"), (b"<a href", "text/html"),
    (b"<table", "text/html"), (b"<style", "text/html"), (b"<meta", "text/html"), (b"<iframe", "text/html"),
    (b"<svg", "image/svg+xml"), (b"<?xml", "application/xml"), (b"<?php", "text/x-php"), (b"<rss", "application/rss+xml"),
    (b"<soap", "application/soap+xml"), (b"#!", "text/x-script"), (b"#extm3u", "application/vnd.apple.mpegurl"),
    (b"begin:vcard", "text/x-vcard"), (b"begin:vcalendar", "text/calendar"), (b"from:", "message/rfc822"),
    (b"received:", "message/rfc822"), (b"return-path:", "message/rfc822"),
)  # fmt: skip

ZIPPED: Final[tuple[tuple[bytes, str], ...]] = (
    (b"word/", "application/vnd.openxmlformats-officedocument.wordprocessingml.document"),
    (b"xl/", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"),
    (b"ppt/", "application/vnd.openxmlformats-officedocument.presentationml.presentation"),
    (b"META-INF/", "application/java-archive"), (b"AndroidManifest.xml", "application/vnd.android.package-archive"),
)  # fmt: skip

SCRIPTS: Final[tuple[tuple[bytes, str], ...]] = (
    (b"python", "text/x-python"), (b"perl", "text/x-perl"), (b"ruby", "text/x-ruby"), (b"php", "text/x-php"),
    (b"lua", "text/x-lua"), (b"node", "application/javascript"), (b"awk", "text/x-awk"), (b"tcl", "text/x-tcl"),
    (b"sh", "text/x-shellscript"),
)  # fmt: skip

TEXT_BYTES_MIN: Final = 10  # so many printed characters Zeek wants before it says text
_PRINTED: Final = bytes(range(9, 14)) + bytes(range(32, 127))

_BY_FIRST: Final[dict[int, list[tuple[bytes, str]]]] = {}
_ELSEWHERE: Final = [row for row in SIGNATURES if row[0]]
for _offset, _mark, _name in SIGNATURES:
    if not _offset:
        _BY_FIRST.setdefault(_mark[0], []).append((_mark, _name))


def mime_type(head: bytes) -> str:
    """The type of what begins so, "" for bytes that no signature and no text explains."""
    if not head:
        return ""
    for mark, name in _BY_FIRST.get(head[0], ()):
        if head.startswith(mark):
            return _zipped(head) if name == "application/zip" else name
    for offset, mark, name in _ELSEWHERE:
        if head.startswith(mark, offset):
            return name
    return _text(head)


def _zipped(head: bytes) -> str:
    for mark, name in ZIPPED:
        if mark in head[30:]:
            return name
    return "application/zip"


def _text(head: bytes) -> str:
    """The kind of text, "" when it is none."""
    if head[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return "text/plain"
    body = head.removeprefix(b"\xef\xbb\xbf")
    start = body.lstrip()[:32].lower()
    for mark, name in TEXTS:
        if start.startswith(mark):
            return _script(body) if name == "text/x-script" else name
    if len(body) < TEXT_BYTES_MIN or body[:TEXT_BYTES_MIN].translate(None, _PRINTED):
        return ""
    if _is_json(start, body):
        return "text/json"
    return "text/plain"


def _is_json(start: bytes, body: bytes) -> bool:
    """An object that begins with a name, or a list of values, as JSON has them (RFC 8259)."""
    if start[:1] == b"{":
        inner = body.lstrip()[1:].lstrip()[:1]
        return inner in (b'"', b"}")
    if start[:1] == b"[":
        inner = body.lstrip()[1:].lstrip()[:1]
        return inner in (b'"', b"{", b"[", b"]")
    return False


def _script(body: bytes) -> str:
    line = body.lstrip().partition(b"\n")[0]
    for mark, name in SCRIPTS:
        if mark in line:
            return name
    return "text/plain"
