"""The API: a call read, what it asks for done, the answer as JSON."""
