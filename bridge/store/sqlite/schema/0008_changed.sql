-- Which UIDs each MODSEQ of a mailbox touched: one row a change, however many entries it changed.
-- The index that it replaces had to be moved entry by entry: two thirds of a STORE of everything.

CREATE TABLE changed (
    mailbox_id INTEGER NOT NULL REFERENCES mailbox ON DELETE CASCADE,
    modseq     INTEGER NOT NULL,
    uids       TEXT NOT NULL,  -- closed intervals, rising: [[1, 3], [7, 7]]
    PRIMARY KEY (mailbox_id, modseq)
) STRICT, WITHOUT ROWID;
ALTER TABLE mailbox ADD COLUMN changed_from INTEGER NOT NULL DEFAULT 0;  -- it is complete after this
UPDATE mailbox SET changed_from = highestmodseq;
DROP INDEX entry_modseq;
