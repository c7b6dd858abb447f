"""The POP3 side of the benchmark: collecting, beside every collector that Debian has."""
