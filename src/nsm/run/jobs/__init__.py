"""Kinds of work beside the monitoring, one file each with a ``SPEC``; run as processes of their own."""
