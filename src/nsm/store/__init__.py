"""What is kept: batches of records, their sums, alerts and accounts; written by one process, read by any."""
