-- Run once, when the database cluster is made: the owner of the schema, and the three roles of the processes, each with
-- the password that its process reads from the same file. `nameplate migrate` makes the roles too, but without passwords.
-- They are the owner's own, so that it may give them rights without being a superuser.
\set owner `cat /run/secrets/owner_database_password`
\set control `cat /run/secrets/control_database_password`
\set api `cat /run/secrets/api_database_password`
\set sidecar `cat /run/secrets/sidecar_database_password`
\set ON_ERROR_STOP on
CREATE ROLE nameplate_owner LOGIN CREATEROLE PASSWORD :'owner';
GRANT CREATE ON SCHEMA public TO nameplate_owner;
ALTER DATABASE :DBNAME OWNER TO nameplate_owner;
SET ROLE nameplate_owner;
CREATE ROLE nameplate_control LOGIN PASSWORD :'control';
CREATE ROLE nameplate_api LOGIN PASSWORD :'api';
CREATE ROLE nameplate_sidecar LOGIN PASSWORD :'sidecar';
