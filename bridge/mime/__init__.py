"""Message bytes -> structure: pure, bounded, one pass over the octets, never recursive.

    parser      the door: `scan(octets)` -> `bridge.model.Structure`; never raises
    tree        header and body spans of every part (RFC 2046), the boundary scanner
    headers     a header block -> fields, unfolded
    address     address lists -> ENVELOPE address structures (RFC 5322 3.4, RFC 3501 7.4.2)
    parameters  Content-Type and its kin with their parameters (RFC 2045 5.1, RFC 2231)
    envelope    header fields -> ENVELOPE
    structure   the part tree -> BODYSTRUCTURE and BODY
    section     the packed part table: BODY[1.2.MIME] -> octet offsets
    text        encoded-words, charsets, decoded bodies: what SEARCH and previews read
    sortkeys    what SORT and THREAD compare
    markup      HTML -> its words
    preview     the first words of a message (RFC 8970)
    charsets    the allow-list of charsets
    date        Date and Received -> an instant and the author's day
    wire        IMAP strings

Rules: every cap is in `bridge.limits` (MIME_*); what lies beyond a cap stays in the raw octets and
is left out of the structure. No regular expression here backtracks further than a few octets:
quantifiers on input are possessive or bounded. Where a message leaves room for interpretation
we answer as Dovecot 2.3 does.
"""
