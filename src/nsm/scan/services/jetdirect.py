"""Raw printer ports: the printer's model, asked in PJL. HP's "Printer Job Language Technical Reference", INFO ID.

The question begins with the sequence that leaves any other language, so that a printer does not print it.
"""

from __future__ import annotations

from typing import Final

from nsm.model.interfaces import Place, ServiceSpec, Talk
from nsm.scan.talking import Heard, clean, details, recognised

LEAVE: Final = b"\x1b%-12345X"  # universal exit language
QUESTION: Final = LEAVE + b"@PJL INFO ID\r\n" + LEAVE


def talk(place: Place) -> Talk:
    """The answer repeats the question, then has the model in quotation marks."""
    heard = Heard()
    line = yield from heard.line(QUESTION)
    if line != b"@PJL INFO ID":
        return None
    model = clean((yield from heard.line())).strip('"')
    return recognised("pdl-datastream", model, confidence=1.0, facts=details(model=model))


SPEC: Final = ServiceSpec(name="pdl-datastream", talk=talk, ports=tuple(range(9100, 9108)))
