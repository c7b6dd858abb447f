"""We are the client: the replies (protocol), the known sins (quirks), the session (client)."""
