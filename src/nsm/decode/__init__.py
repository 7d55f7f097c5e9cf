"""From frames to header columns."""
