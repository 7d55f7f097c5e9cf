"""Settings: read, merged, checked, explained. What can be set is declared beside the code that it belongs to."""
