"""Everything that POP3 servers have been seen to do, P001 to P108, each a test by its id.

    cases.py     the table: id, area, what the server does
    home.py      a store, its IMAP endpoint and what polls it, by one clock
    oracle.py    the ledger of the server against what IMAP shows
    test_*.py    one file an area; test_cases.py: every id has exactly one test

Rules: a scripted server outside, all else real: client, poller, schedule, store, IMAP. Every case
ends with the oracle: lost 0, duplicates 0, wrong DELE 0, early logins 0. No test sleeps.
"""
