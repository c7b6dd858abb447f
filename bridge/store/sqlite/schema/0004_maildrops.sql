-- What a poll remembers of a maildrop: header fingerprints (identity without the body), the age of
-- items for retention, messages that cannot be had, deletes at the provider, and our own messages.

-- `watched`: seconds that polls saw pass, a day at most for each; a clock that jumps moves it little.
ALTER TABLE account ADD COLUMN watched INTEGER NOT NULL DEFAULT 0;
ALTER TABLE account ADD COLUMN notice TEXT NOT NULL DEFAULT '';
ALTER TABLE account ADD COLUMN least_interval INTEGER NOT NULL DEFAULT 0;
ALTER TABLE account ADD COLUMN memory TEXT NOT NULL DEFAULT '';  -- the poller's own, opaque here

ALTER TABLE maildrop_item ADD COLUMN headers BLOB;
ALTER TABLE maildrop_item ADD COLUMN settled_at INTEGER NOT NULL DEFAULT 0;
ALTER TABLE maildrop_item ADD COLUMN settled_watched INTEGER NOT NULL DEFAULT 0;
ALTER TABLE maildrop_item ADD COLUMN deleted_at INTEGER;       -- since when no device keeps it
ALTER TABLE maildrop_item ADD COLUMN deleted_watched INTEGER;
UPDATE maildrop_item SET settled_at = CAST(strftime('%s', 'now') AS INTEGER);
CREATE INDEX maildrop_item_digest ON maildrop_item (account_id, digest);
CREATE INDEX maildrop_item_deleted ON maildrop_item (digest) WHERE deleted_at IS NOT NULL;

-- A message that the provider lists and that cannot be had. `stub` is the message shown for it.
CREATE TABLE poison (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    account_id INTEGER NOT NULL REFERENCES account,
    uidl       BLOB,
    size       INTEGER,
    failures   INTEGER NOT NULL,
    next_try   INTEGER NOT NULL,
    said       TEXT NOT NULL,
    stub       BLOB
) STRICT;
CREATE INDEX poison_account ON poison (account_id);

-- The audit of what was deleted at providers; rows are only ever added, and their outcome set.
CREATE TABLE server_delete (
    id      INTEGER PRIMARY KEY AUTOINCREMENT,
    address TEXT NOT NULL,
    at      INTEGER NOT NULL,
    uidl    BLOB NOT NULL,
    size    INTEGER,
    digest  BLOB NOT NULL,
    reason  TEXT NOT NULL,
    outcome TEXT NOT NULL
) STRICT;

-- The message that popbridge shows in an account's mailbox while something is wrong.
CREATE TABLE alert (
    account_id INTEGER PRIMARY KEY REFERENCES account,
    cause      TEXT NOT NULL,
    digest     BLOB NOT NULL
) STRICT;
