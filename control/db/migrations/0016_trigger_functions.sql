-- A role that may execute a trigger function can tie it to a temporary table of its own, whose rows it makes up: with the
-- workers' rights it would then write into the change feed, or read whose a domain is. Triggers that are there fire on.

SET LOCAL ROLE nameplate_control;
REVOKE EXECUTE ON FUNCTION record_domain_change(), record_tenant_change(), record_challenge_change(), give_turn(),
    seal_audit() FROM PUBLIC;
RESET ROLE;
