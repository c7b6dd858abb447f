"""Moving in and moving out: import, export, migration to another IMAP server.

    forms        which bytes of a file are the message, and in which spelling
    mbox maildir eml thunderbird manifest     the formats: bytes and names in, values out; pure
    files        reading and writing what lies on a disk: sources of an import, targets of an export
    placing      what an imported message becomes in the store: one decision, one transaction
    door         what a transfer asks of the store, whether here or behind a running daemon
    importing exporting     the two ways through
    imap_wire    the client's side of IMAP as values; imap_client its one socket
    imap_source imap_push   another account as a source, and as a target

Rules:
- Nothing is moved twice: what a run did is found by content by the next one, so that a run may be
  killed at any instant and begun again.
- Memory is bounded whatever the size of a file, a message or a mailbox.
- A link is not followed, what is no file is not opened; whatever is left out is counted.
"""
