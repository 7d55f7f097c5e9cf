"""One file for each service that is recognised; a file has a ``SPEC`` and knows no other file here."""
