"""What operators look at, read from PostgreSQL and from what this process hears: `api.overview`."""
