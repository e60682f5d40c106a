"""What the operator has described: upstream services, bundles of authorities, identities, and who is sent where."""
