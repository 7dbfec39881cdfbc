-- A database and a role for each service, and a role that may read them all. psql runs it as a superuser; it
-- may run again at any time. Passwords come from the environment: CATALOG_PASSWORD, AUDITOR_PASSWORD, …
-- `make format` writes this file from the services' declarations.

\set ON_ERROR_STOP on
\getenv catalog_password CATALOG_PASSWORD
\getenv identity_password IDENTITY_PASSWORD
\getenv order_password ORDER_PASSWORD
\getenv payment_password PAYMENT_PASSWORD
\getenv auditor_password AUDITOR_PASSWORD

SELECT format('CREATE ROLE %I LOGIN', role)
FROM unnest(ARRAY['catalog', 'identity', 'order', 'payment', 'auditor']) AS role
WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = role) \gexec

ALTER ROLE "catalog" PASSWORD :'catalog_password';
ALTER ROLE "identity" PASSWORD :'identity_password';
ALTER ROLE "order" PASSWORD :'order_password';
ALTER ROLE "payment" PASSWORD :'payment_password';
ALTER ROLE "auditor" PASSWORD :'auditor_password';
ALTER ROLE auditor SET default_transaction_read_only = on;
GRANT pg_read_all_stats TO auditor;  -- the audit looks for sessions idle in transaction

-- The exporter for Prometheus reads figures of the server, and no table of a service.
\getenv exporter_password EXPORTER_PASSWORD
\if :{?exporter_password}
SELECT 'CREATE ROLE exporter LOGIN IN ROLE pg_monitor CONNECTION LIMIT 5'
WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'exporter') \gexec
ALTER ROLE exporter PASSWORD :'exporter_password';
ALTER ROLE exporter SET default_transaction_read_only = on;
\endif

SELECT format('CREATE DATABASE %I OWNER %I', service, service)
FROM unnest(ARRAY['catalog', 'identity', 'order', 'payment']) AS service
WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = service) \gexec

REVOKE ALL ON DATABASE "catalog", "identity", "order", "payment" FROM PUBLIC;
GRANT CONNECT ON DATABASE "catalog", "identity", "order", "payment" TO auditor;

\connect "catalog"
CREATE EXTENSION IF NOT EXISTS pg_trgm;
GRANT USAGE ON SCHEMA public TO auditor;
GRANT SELECT ON ALL TABLES IN SCHEMA public TO auditor;
ALTER DEFAULT PRIVILEGES FOR ROLE "catalog" GRANT SELECT ON TABLES TO auditor;

\connect "identity"
GRANT USAGE ON SCHEMA public TO auditor;
GRANT SELECT ON ALL TABLES IN SCHEMA public TO auditor;
ALTER DEFAULT PRIVILEGES FOR ROLE "identity" GRANT SELECT ON TABLES TO auditor;

\connect "order"
GRANT USAGE ON SCHEMA public TO auditor;
GRANT SELECT ON ALL TABLES IN SCHEMA public TO auditor;
ALTER DEFAULT PRIVILEGES FOR ROLE "order" GRANT SELECT ON TABLES TO auditor;

\connect "payment"
GRANT USAGE ON SCHEMA public TO auditor;
GRANT SELECT ON ALL TABLES IN SCHEMA public TO auditor;
ALTER DEFAULT PRIVILEGES FOR ROLE "payment" GRANT SELECT ON TABLES TO auditor;
