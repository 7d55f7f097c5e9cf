"""Settings that were made on the page: dotted key -> value, plain rows of ``nsm.db``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from nsm.errors import FullError
from nsm.store.database import open_database, transaction

PAGE_SETTINGS_MAX: Final = 1_000


class PageSettings:
    """Those of one store; any process may hold one."""

    def __init__(self, directory: Path) -> None:
        self._connection = open_database(directory)

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def all(self) -> dict[str, Any]:
        """Every one of them."""
        return {
            key: json.loads(value) for key, value in self._connection.execute("SELECT key, value FROM page_setting")
        }

    def set(self, key: str, value: Any) -> None:
        """Keep one; None removes it. FullError above ``PAGE_SETTINGS_MAX``."""
        with transaction(self._connection):
            execute = self._connection.execute
            if value is None:
                execute("DELETE FROM page_setting WHERE key=?", (key,))
                return
            execute("INSERT OR REPLACE INTO page_setting VALUES (?,?)", (key, json.dumps(value)))
            if execute("SELECT count(*) FROM page_setting").fetchone()[0] > PAGE_SETTINGS_MAX:
                raise FullError("too many settings made on the page", mend="use the configuration file")
