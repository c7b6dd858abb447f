"""Behaviour of the commands, one file each; the grammar is in `imap.protocol` under the same name.

Each `run*(session, request, value) -> Reply` queues its untagged responses by `session.send`,
and raises `No` or `Bad` where the command cannot be done.
"""
