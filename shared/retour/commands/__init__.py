"""What people and callers can have done: typed commands, the same for API and console."""
