-- What the sidecar asks PostgreSQL of the edge, as role nameplate_sidecar. All in one snapshot; $1 a limit of rows.
-- Values are such that JSON can hold them (sidecar.edge.snapshot), in the order of sidecar.edge.rows.

-- name: services
SELECT name, spec::text FROM services_v1 ORDER BY name LIMIT $1

-- name: trust
SELECT name, pem FROM trust_v1 ORDER BY name LIMIT $1

-- name: identities
SELECT name, fingerprint, vault_version, extract(epoch FROM not_after)::float8 FROM identities_v1 ORDER BY name LIMIT $1

-- name: choices
SELECT tenant_id::text, domain_id::text, service FROM service_choices_v1
ORDER BY domain_id NULLS FIRST, tenant_id LIMIT $1

-- name: client_auth
SELECT domain_id::text, tenant_id::text, hostname, mode, lookup, identity_by, groups_from, ca_pem, crl_pem
FROM client_auth_v1 ORDER BY domain_id LIMIT $1

-- name: below
SELECT domain_id::text, hostnames FROM client_auth_below_v1 ORDER BY domain_id LIMIT $1

-- name: consumers
SELECT id::text, tenant_id::text, name, kind, value, groups FROM consumers_v1 ORDER BY tenant_id, id LIMIT $1
