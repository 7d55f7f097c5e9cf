"""How people and other systems are told: one file for each channel. What is told when is decided in ``run``."""
