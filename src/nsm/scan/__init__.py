"""Port scans: which ports are open, and what speaks on them."""
