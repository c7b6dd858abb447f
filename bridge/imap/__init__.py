"""We are the server: the IMAP endpoint that devices talk to (RFC 3501 and what came after).

    protocol/    bytes -> commands, values -> bytes; sans-IO, one file a command
    commands/    behaviour, the same file names
    table.py     the one table: name, grammar, behaviour, states, who may see EXPUNGE, capability
    fetchitems.py  the second table: what FETCH can be asked for
    matching.py  is this message what SEARCH asked for?
    threads.py   which message answers which?
    mailboxes.py flags and UIDs of the open mailboxes, one copy a mailbox
    view.py      one session's picture of its mailbox: sequence number <-> UID
    session.py   one connection, in words; server.py is the only socket

Rules of the room: nothing is written to a socket inside a transaction; a tagged OK comes after
the commit; the room never sees POP3 and never imports sync.
"""
