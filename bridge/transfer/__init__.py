"""Moving in and moving out: import, export, migration to another IMAP server.

    forms        which bytes of a file are the message, and in which spelling
    marks        flags, keywords, date; names of mailboxes as names of files
    mbox maildir thunderbird manifest     the formats: bytes and names in, values out; pure
    files        a file opened safely, a file written whole or not at all
    sources targets             what an import reads and an export writes on a disk
    placing      what an imported message becomes in the store: one decision, one transaction
    door frames  what a transfer asks of the store, here or over the daemon's control socket
    importing exporting tally   the two ways through, and what they count
    imap_wire imap_names        the client's side of IMAP as values; pure
    imap_client imap_reading    its one socket, and what is read through it
    imap_source imap_push journal         another account as a source, and as a target

Rules:
- Nothing is moved twice: what a run did is found by content by the next one, so that a run may be
  killed at any instant and begun again.
- Memory is bounded whatever the size of a file or a message; of a mailbox its list is held.
- A link is not followed, what is no file is not opened; whatever is left out is counted.
"""
