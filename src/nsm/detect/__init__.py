"""One file per detector: rows of one table in, findings out. See CONTRIBUTING.md for how to add one."""
