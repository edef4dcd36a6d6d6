"""What a merchant writes down before the first return: the program document and its check against a sample."""
