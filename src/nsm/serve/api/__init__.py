"""The routes, one file a domain, found by their ``SPEC``: an ``APIRouter``. Files here do not know each other."""
