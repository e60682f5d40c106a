"""What control counts beside what its parts count themselves; docs/metrics.md has all names."""
