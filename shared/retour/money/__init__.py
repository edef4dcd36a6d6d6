"""What is paid when: funding checked, and what people are told of it."""
