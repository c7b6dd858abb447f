"""Measurements side by side with peers: printed, never asserted."""
