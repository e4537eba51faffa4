-- Each library migrates tables of its own, so each has a database of its own.
CREATE DATABASE mlflow;
CREATE DATABASE prefect;
CREATE DATABASE searches;
\connect prefect
CREATE EXTENSION IF NOT EXISTS pg_trgm;
