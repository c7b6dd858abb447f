"""The truth on disk, behind one door (`api`); `opening.open_store` hands out the key.

Only `model` and `limits` are imported from here: the store never sees IMAP, POP3 or MIME.
"""
