"""IMAP without sockets: bytes to commands, values to responses.

    connection.py  octets -> whole commands, with every cap of `limits.py`
    scanner.py     the terminals of the grammar: atom, astring, mailbox, sequence set, date ...
    numbers.py     sequence sets as intervals     utf7.py   mailbox names on the wire
    responses.py   values -> octets               errors.py ParseError
    and one file a command: its frozen value and `parse(scanner) -> value`

Rules: pure (no clock, no I/O, no logging); iterative, so that no peer chooses our recursion
depth; linear in the length of the input; what does not parse raises `ParseError` and nothing
else. A `Scanner` starts right behind the command's name and `parse` consumes all of it.
"""
