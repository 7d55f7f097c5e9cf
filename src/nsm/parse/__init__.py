"""Protocol parsers, one file each, found by discovery."""
