"""Real file servers for the tests, started on loopback with certificates and keys of their own."""
