"""The command line: one file a command. A module here with ``command``, a click command, is one."""
