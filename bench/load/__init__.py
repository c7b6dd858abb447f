"""Many devices, many accounts, one very large mailbox: does the daemon bear them?"""
