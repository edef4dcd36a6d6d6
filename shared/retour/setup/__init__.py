"""The program document, credentials, and the check of a mapping against a sample."""
