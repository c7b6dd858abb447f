-- What changes about entries, apart from what does not: flags, keyword sets and MODSEQs lie in blocks
-- of 256 UIDs (bridge/store/sqlite/blocks.py), so that a STORE of everything rewrites a row for 256
-- entries, and what changed since a MODSEQ is found by the blocks' own.

CREATE TABLE entry_block (
    id         INTEGER PRIMARY KEY,  -- mailbox_id * 2^24 + UID / 256
    mailbox_id INTEGER NOT NULL REFERENCES mailbox ON DELETE CASCADE,
    modseq     INTEGER NOT NULL,     -- no entry of the block has a higher one
    deleted    INTEGER NOT NULL,     -- whether an entry of the block has \Deleted
    flags      BLOB NOT NULL CHECK (length(flags) = 256),
    keywords   BLOB NOT NULL,
    modseqs    BLOB NOT NULL
) STRICT;
INSERT INTO entry_block
SELECT mailbox_id * 16777216 + uid / 256, mailbox_id, max(modseq), max(flags & 4 <> 0),
    gathered(1, uid % 256, flags), gathered(4, uid % 256, keywords), gathered(8, uid % 256, modseq)
FROM entry GROUP BY mailbox_id, uid / 256;
CREATE INDEX entry_block_modseq ON entry_block (mailbox_id, modseq);
CREATE INDEX entry_block_deleted ON entry_block (mailbox_id) WHERE deleted;

CREATE TABLE entry_fixed (
    mailbox_id   INTEGER NOT NULL,   -- of a mailbox whose row the same transaction has changed: to
                                     -- look there again for each entry was a quarter of a COPY
    uid          INTEGER NOT NULL,
    message_id   INTEGER NOT NULL REFERENCES message,
    size         INTEGER NOT NULL,   -- of the message: sums need not look there
    internaldate INTEGER NOT NULL,
    savedate     INTEGER NOT NULL,
    PRIMARY KEY (mailbox_id, uid)
) STRICT, WITHOUT ROWID;
INSERT INTO entry_fixed
SELECT mailbox_id, uid, entry.message_id, size, internaldate, savedate
FROM entry CROSS JOIN message ON message.id = entry.message_id ORDER BY mailbox_id, uid;
DROP TABLE entry;
ALTER TABLE entry_fixed RENAME TO entry;
CREATE INDEX entry_message ON entry (message_id);

DROP TABLE changed;
ALTER TABLE mailbox DROP COLUMN changed_from;

-- Expunged UIDs as closed intervals: those of one EXPUNGE often stand in a row.
CREATE TABLE expunged_range (
    mailbox_id INTEGER NOT NULL REFERENCES mailbox ON DELETE CASCADE,
    modseq     INTEGER NOT NULL,
    first      INTEGER NOT NULL,
    last       INTEGER NOT NULL,
    PRIMARY KEY (mailbox_id, modseq, first)
) STRICT, WITHOUT ROWID;
INSERT INTO expunged_range SELECT mailbox_id, modseq, uid, uid FROM expunged;
DROP TABLE expunged;
ALTER TABLE expunged_range RENAME TO expunged;
