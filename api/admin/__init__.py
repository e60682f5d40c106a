"""What the platform's own admin does: upstream services, whom they trust, what they are shown, and who goes there."""
