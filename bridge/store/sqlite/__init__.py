"""The SQLite engine: `engine` (threads, commits), `read`, `write`, and its schema.

SQL of this dialect lives here and nowhere else.
"""
