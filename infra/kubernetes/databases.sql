-- Run as the superuser, any number of times: a role and databases for each server, so that neither can read the
-- other's. (They could not share one either: both keep the number of their last migration in `alembic_version`.)
-- A changed password takes effect here.
\set ON_ERROR_STOP on
\getenv prefect_password PREFECT_DB_PASSWORD
\getenv mlflow_password MLFLOW_DB_PASSWORD

SELECT format('CREATE ROLE %I LOGIN', name)
  FROM unnest(ARRAY['prefect', 'mlflow']) AS name
 WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = name)
\gexec

ALTER ROLE prefect PASSWORD :'prefect_password';
ALTER ROLE mlflow PASSWORD :'mlflow_password';

SELECT format('CREATE DATABASE %I OWNER %I', name, owner)
  FROM (VALUES ('prefect', 'prefect'), ('mlflow', 'mlflow'), ('mlflow_accounts', 'mlflow')) AS wanted (name, owner)
 WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = name)
\gexec

REVOKE ALL ON DATABASE prefect, mlflow, mlflow_accounts, postgres FROM PUBLIC;
