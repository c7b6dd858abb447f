-- The first schema. Bytes and times are what bridge/model.py says they are; every id that a
-- session may remember is AUTOINCREMENT, so that it never comes to name something else.

CREATE TABLE meta (
    key   TEXT PRIMARY KEY,
    value ANY NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE login (
    id   INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL UNIQUE
) STRICT;

-- One POP3 mailbox that is polled, and what a person wants to know about it.
CREATE TABLE account (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    address      TEXT NOT NULL UNIQUE,
    login_id     INTEGER NOT NULL REFERENCES login,
    mailbox      TEXT NOT NULL,
    polls        INTEGER NOT NULL DEFAULT 0,   -- listings that mark_listing saw
    listed_at    INTEGER NOT NULL DEFAULT 0,   -- when it saw the last of them
    last_success INTEGER,
    last_attempt INTEGER,
    listed       INTEGER NOT NULL DEFAULT 0,
    failures     INTEGER NOT NULL DEFAULT 0,
    error        TEXT NOT NULL DEFAULT '',
    error_class  TEXT NOT NULL DEFAULT '',
    advice       TEXT NOT NULL DEFAULT ''
) STRICT;

-- A settled item. Two of one account may share a UIDL (RFC 1939 7), hence no unique key. A poll
-- without news writes nothing here: `last_poll` is NULL while the item is listed, and the number
-- of the last poll that listed it once it is missed.
CREATE TABLE maildrop_item (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    account_id  INTEGER NOT NULL REFERENCES account,
    uidl        BLOB,
    size        INTEGER,
    digest      BLOB NOT NULL,
    fingerprint BLOB NOT NULL,
    listed_at   INTEGER NOT NULL,
    last_poll   INTEGER
) STRICT;
CREATE INDEX maildrop_item_account ON maildrop_item (account_id);
CREATE INDEX maildrop_item_missed ON maildrop_item (account_id) WHERE last_poll IS NOT NULL;

-- What never changes about a message, in four tables by width, so that a scan reads little.
CREATE TABLE message (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    digest       BLOB NOT NULL UNIQUE CHECK (length(digest) = 32),
    size         INTEGER NOT NULL,
    header_size  INTEGER NOT NULL,
    fingerprint  BLOB NOT NULL,
    sent_day     INTEGER,
    sent_at      INTEGER,
    received_at  INTEGER,
    base_subject TEXT NOT NULL,
    message_id   TEXT NOT NULL,
    preview      TEXT NOT NULL
) STRICT;

CREATE TABLE message_structure (
    message_id    INTEGER PRIMARY KEY REFERENCES message ON DELETE CASCADE,
    envelope      BLOB NOT NULL,
    bodystructure BLOB NOT NULL,
    body          BLOB NOT NULL,
    parts         BLOB NOT NULL
) STRICT;

CREATE TABLE message_header (
    message_id INTEGER PRIMARY KEY REFERENCES message ON DELETE CASCADE,
    header     BLOB NOT NULL
) STRICT;

-- The bytes, from `start` on up to the next row's start: the chunk size may change in time.
CREATE TABLE message_chunk (
    message_id INTEGER NOT NULL REFERENCES message ON DELETE CASCADE,
    start      INTEGER NOT NULL,
    octets     BLOB NOT NULL,
    PRIMARY KEY (message_id, start)
) STRICT;

-- Messages that no mailbox shows, for purge.
CREATE TABLE orphan (
    message_id INTEGER PRIMARY KEY REFERENCES message ON DELETE CASCADE,
    since      INTEGER NOT NULL
) STRICT;
CREATE INDEX orphan_since ON orphan (since);

CREATE TABLE mailbox (
    id              INTEGER PRIMARY KEY AUTOINCREMENT,
    login_id        INTEGER NOT NULL REFERENCES login,
    name            TEXT NOT NULL,
    uidvalidity     INTEGER NOT NULL UNIQUE,
    uidnext         INTEGER NOT NULL DEFAULT 1 CHECK (uidnext BETWEEN 1 AND 4294967295),
    highestmodseq   INTEGER NOT NULL DEFAULT 1,
    messages        INTEGER NOT NULL DEFAULT 0 CHECK (messages >= 0),
    unseen          INTEGER NOT NULL DEFAULT 0 CHECK (unseen >= 0),
    deleted         INTEGER NOT NULL DEFAULT 0 CHECK (deleted >= 0),
    octets          INTEGER NOT NULL DEFAULT 0 CHECK (octets >= 0),
    first_recent    INTEGER NOT NULL DEFAULT 1,
    special_use     TEXT,
    tombstones      INTEGER NOT NULL DEFAULT 0 CHECK (tombstones >= 0),
    tombstones_from INTEGER NOT NULL DEFAULT 0,  -- `expunged` is complete after this MODSEQ
    UNIQUE (login_id, name)
) STRICT;

-- The highest UIDVALIDITY that a name showed before its mailbox was deleted or renamed away.
CREATE TABLE former_name (
    login_id    INTEGER NOT NULL REFERENCES login,
    name        TEXT NOT NULL,
    uidvalidity INTEGER NOT NULL,
    PRIMARY KEY (login_id, name)
) STRICT, WITHOUT ROWID;

CREATE TABLE subscription (
    login_id INTEGER NOT NULL REFERENCES login,
    name     TEXT NOT NULL,
    PRIMARY KEY (login_id, name)
) STRICT, WITHOUT ROWID;

-- `names`: one spelling each, sorted without case, a space between; set 0 is the empty one.
CREATE TABLE keyword_set (
    id    INTEGER PRIMARY KEY,
    names TEXT NOT NULL UNIQUE
) STRICT;
INSERT INTO keyword_set (id, names) VALUES (0, '');

-- Which keywords (in lower case) a login has used, for the cap on them.
CREATE TABLE login_keyword (
    login_id INTEGER NOT NULL REFERENCES login,
    keyword  TEXT NOT NULL,
    PRIMARY KEY (login_id, keyword)
) STRICT, WITHOUT ROWID;

CREATE TABLE entry (
    mailbox_id   INTEGER NOT NULL REFERENCES mailbox,
    uid          INTEGER NOT NULL,
    message_id   INTEGER NOT NULL REFERENCES message,
    flags        INTEGER NOT NULL CHECK (flags BETWEEN 0 AND 31),
    keywords     INTEGER NOT NULL,
    modseq       INTEGER NOT NULL,
    internaldate INTEGER NOT NULL,
    PRIMARY KEY (mailbox_id, uid)
) STRICT, WITHOUT ROWID;
CREATE INDEX entry_modseq ON entry (mailbox_id, modseq);
CREATE INDEX entry_message ON entry (message_id);

CREATE TABLE expunged (
    mailbox_id INTEGER NOT NULL REFERENCES mailbox ON DELETE CASCADE,
    modseq     INTEGER NOT NULL,
    uid        INTEGER NOT NULL,
    PRIMARY KEY (mailbox_id, modseq, uid)
) STRICT, WITHOUT ROWID;
