"""One file an engine: how a plan is written in its SQL. Nothing outside the store imports them."""
