"""Writings of the records that other tools read: one file per form."""
