-- When an entry came into its mailbox (RFC 8514), in seconds; INTERNALDATE says when the mail came.

ALTER TABLE entry ADD COLUMN savedate INTEGER NOT NULL DEFAULT 0;
-- No release wrote schema 4. Of what a checkout stored nobody knows it better than INTERNALDATE.
UPDATE entry SET savedate = internaldate;
