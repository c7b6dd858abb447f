-- What SORT and THREAD compare: `SortKeys` of bridge/model.py, texts in the order of their octets.

CREATE TABLE message_sort (
    message_id   INTEGER PRIMARY KEY REFERENCES message ON DELETE CASCADE,
    subject      TEXT NOT NULL,
    is_reply     INTEGER NOT NULL,
    sender       TEXT NOT NULL,
    "to"         TEXT NOT NULL,
    cc           TEXT NOT NULL,
    display_from TEXT NOT NULL,
    display_to   TEXT NOT NULL,
    links        BLOB NOT NULL
) STRICT;

-- No release wrote schema 1. What a checkout stored with it sorts by its subject and date.
INSERT INTO message_sort
SELECT id, upper(base_subject), 0, '', '', '', '', '', zeroblob(8) FROM message;
