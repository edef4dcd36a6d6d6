"""The meaning of a return. Standard library only, no I/O, no clock: time is a parameter."""
