"""Client certificates of domains, and the consumers that they stand for."""
