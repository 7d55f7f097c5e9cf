"""Containers that cannot grow beyond what they were given: a limit, a policy at the limit, and a counter."""
