"""The ten guarantees with their figures, as docs/guarantees.md shows them.

    python -m tests.guarantees              # the whole suite; every proof in its short form
    python -m tests.guarantees --full       # every proof in its full form, within an hour
    python -m tests.guarantees --read FILE  # of a run that had POPBRIDGE_FIGURES=FILE
    python -m tests.guarantees --keep FILE  # adds the figures of a long run, for good

`promises` says which proof belongs to which guarantee, `figures` reads and adds up what the tests
noted, `page` writes it. No figure is typed by hand. The exit code is 1 where a test failed, a
proof is missing, anything was lost, doubled, corrupt or leaked, or a control was not caught.
"""
