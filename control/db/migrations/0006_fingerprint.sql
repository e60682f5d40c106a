-- The sidecar reads fingerprints as the 32 bytes they are (sidecar/directory/queries.sql).
ALTER TABLE certificates ADD CONSTRAINT certificates_fingerprint_check CHECK (fingerprint ~ '^[0-9a-f]{64}$');
