"""The HTTP API: parse a call, carry it out, answer with JSON."""
