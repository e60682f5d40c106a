"""Each page: from a request to questions for the Protocols, and from their answers to a template."""
