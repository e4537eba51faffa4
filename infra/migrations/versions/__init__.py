"""Every schema version of the database, one module a version; they are never changed after a release."""
