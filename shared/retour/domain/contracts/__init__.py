"""The terms between a program and its partners: who is paid what, and when it locks (spec 6)."""
