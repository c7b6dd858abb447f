"""Health and status over HTTP, and the socket over which the commands reach the daemon."""
