-- Devices, each with what proves a password of its own and never the password.
CREATE TABLE device (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    login_id   INTEGER NOT NULL REFERENCES login,
    name       TEXT NOT NULL,
    created    INTEGER NOT NULL,
    last_seen  INTEGER,
    digest     BLOB NOT NULL CHECK (length(digest) = 32),
    stored_key BLOB NOT NULL,
    server_key BLOB NOT NULL,
    UNIQUE (login_id, name)
) STRICT;
