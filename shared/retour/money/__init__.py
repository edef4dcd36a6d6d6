"""Funding checks, statements and billing groups: what is paid when."""
