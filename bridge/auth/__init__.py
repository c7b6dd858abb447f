"""Who may sign in, and how they say so (SASL)."""
