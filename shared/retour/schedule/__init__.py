"""Scheduled work: polls, locks, roll-ups."""
