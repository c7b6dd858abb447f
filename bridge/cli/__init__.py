"""The commands: one file a command, `main` puts them together, `common` is what they share.

Rules: a command imports what it needs when it runs, so that `--help` is quick; results go to
stdout, everything else to stderr; an error is one line that says what to do; `--json` prints one
JSON document and nothing else; exit codes are those of sysexits.h.
"""
