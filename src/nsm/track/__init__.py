"""From packets to conversations."""
