"""What the tests share: scripted peers, real peers, values."""
