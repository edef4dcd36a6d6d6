"""Small faults put into the pure rules one by one: the pure tests alone have to notice each."""
