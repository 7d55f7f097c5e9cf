"""Reports: what happened in a period, as a page that stands alone, PDF, JSON and CSV."""
