"""Collecting: what a poll does (plan, identity: pure), how (poll), and when (schedule)."""
