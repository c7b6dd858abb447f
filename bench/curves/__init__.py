"""How costs grow: with the size of a mailbox, with devices, with accounts."""
