"""The console: pages rendered on the server with the operations of the API. Pages contain no business rules."""
