"""An action, what may change it, and what it then pays: the fold and all it reads."""
