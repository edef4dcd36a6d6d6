"""Terms between a program and its partners: who is paid what, and when actions lock (spec 6)."""
