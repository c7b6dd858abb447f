-- What came by import, by the name of the mailbox it was imported into. While `awaited`, a poll
-- that brings the same message recognises it here, and makes no second entry.

CREATE TABLE imported (
    login_id    INTEGER NOT NULL REFERENCES login,
    digest      BLOB NOT NULL,
    mailbox     TEXT NOT NULL,
    fingerprint BLOB NOT NULL,
    awaited     INTEGER NOT NULL CHECK (awaited IN (0, 1)),
    PRIMARY KEY (login_id, digest, mailbox)
) STRICT, WITHOUT ROWID;
CREATE INDEX imported_fingerprint ON imported (login_id, fingerprint) WHERE awaited;
CREATE INDEX maildrop_item_fingerprint ON maildrop_item (account_id, fingerprint);
