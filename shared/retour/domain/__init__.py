"""What a return means. Standard library only, no I/O, no clock: time is a parameter."""
