-- The text index itself (`message_text`, FTS5) is made by bridge/store/sqlite/text_index.py, where
-- SQLite has FTS5. Here: messages with more text than it takes, which every search looks into.

CREATE TABLE text_beyond (
    message_id INTEGER PRIMARY KEY REFERENCES message ON DELETE CASCADE
) STRICT;
