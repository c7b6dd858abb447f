-- Annotations (RFC 5464), with names in lower case: of a mailbox, or without one of the login.
CREATE TABLE metadata (
    login_id   INTEGER NOT NULL REFERENCES login,
    mailbox_id INTEGER REFERENCES mailbox ON DELETE CASCADE,
    name       TEXT NOT NULL,
    value      BLOB NOT NULL
) STRICT;
CREATE UNIQUE INDEX metadata_name ON metadata (login_id, ifnull(mailbox_id, 0), name);
CREATE INDEX metadata_mailbox ON metadata (mailbox_id);

-- What EXPUNGE would take: STATUS (DELETED-STORAGE) asks.
CREATE INDEX entry_deleted ON entry (mailbox_id, uid) WHERE flags & 4;
