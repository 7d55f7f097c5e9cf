"""What an FTP session tells of a data channel: the flow that carries it reads which file it is. RFC 959."""

from __future__ import annotations


class FtpNote:
    """A data channel that was agreed on. The command comes after the channel's address: the session fills it in."""

    __slots__ = ("command", "filename")

    def __init__(self) -> None:
        self.command = ""
        self.filename = ""
