"""The one exception family. A message says what failed, on what, and what to do."""


class NsmError(Exception):
    """What every error that a user can meet is.

    ``where`` and ``mend`` are the second and third line of the command line's error form; a message
    alone is one line that stands on its own.
    """

    def __init__(self, message: str, *, where: str = "", mend: str = "") -> None:
        super().__init__(message)
        self.where = where
        self.mend = mend


class SettingsError(NsmError):
    """A setting is unknown, has the wrong type or an impossible value."""


class CaptureError(NsmError):
    """A capture cannot be read or opened, or ended before its end; one line for a person."""


class CapturePermissionError(CaptureError):
    """The capture needs a privilege that this process does not have."""


class MalformedError(NsmError):
    """Bytes from the wire break their protocol; the message is a stable slug. Never leaves the pipeline."""


class RuleError(NsmError):
    """A rule cannot be read."""


class QueryError(NsmError):
    """A question to the store is malformed or too expensive."""


class StoreError(NsmError):
    """The store cannot be opened, read or written."""


class FullError(StoreError):
    """A bound of what the store keeps is reached: something has to be removed first."""


class SinkError(NsmError):
    """An output cannot be written."""


class ScanError(NsmError):
    """A scan is not possible or not allowed."""


class ScanPermissionError(ScanError):
    """The scan needs a privilege that this process does not have, or a permission that was not stated."""


class DeliveryError(NsmError):
    """A notice could not be handed to those who should get it."""


class PartlyDeliveredError(DeliveryError):
    """A notice reached some of its recipients: it is not tried again, since these would get it twice."""


class AuthError(NsmError):
    """A log-in or a token is not accepted."""


class AccountError(AuthError):
    """A user or a token cannot be made or changed as asked."""


class ServiceError(NsmError):
    """The service is not reachable or failed."""
