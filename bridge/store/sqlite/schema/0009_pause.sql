-- Whether a person has stopped the polls of an account for a while.
ALTER TABLE account ADD COLUMN paused INTEGER NOT NULL DEFAULT 0;
