"""Health: this machine, its interfaces, the way to the gateway and the resolver, and whether nsm sees what it should."""
