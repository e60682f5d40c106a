"""What operators look at: the records and their JSON, what may be asked, and what is wrong just now."""
