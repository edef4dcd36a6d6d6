"""The HTTP API: parse a call, perform it, answer with JSON."""
