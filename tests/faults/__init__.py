"""What kills, cuts and signals do to the daemon: real processes, real sockets, one oracle."""
