"""The console: pages for people, made on the server from what the API knows. No rule lives in a page."""
