"""The IMAP workloads W1 to W13, beside Dovecot: one file a question."""
