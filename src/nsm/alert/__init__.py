"""From findings to what a person should see: merged, weighed, scored."""
