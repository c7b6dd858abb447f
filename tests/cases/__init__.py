"""What is hostile and no POP3 server: crashes, disks, clocks, commands, mail, pages, secrets.

`cases.txt` is the table; `reasons.txt` says of a case why no test of it can exist here, and
`not_yet.txt` names those that still lack one. A test names its cases, wherever it lives:

    @pytest.mark.case("I021", "I022")

and `pytest --case I022` runs the tests of one. What a POP3 server does is in `tests/pcases`.
"""
