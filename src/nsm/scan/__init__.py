"""Active probing: which hosts are up, which of their ports answer. Start reading at ``runner``."""
