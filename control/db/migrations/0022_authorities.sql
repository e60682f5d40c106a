-- What a bundle's certificates say, so that nobody has to read thousands of them to list bundles and to see their ends.

ALTER TABLE trust ADD COLUMN authorities JSONB;  -- core.trust.Authority, a list; NULL: nobody has read `pem` so far
CREATE INDEX idx_trust_unread ON trust (name) WHERE authorities IS NULL;
