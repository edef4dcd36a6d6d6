"""The embedded AWS on this machine, and Retour's own template in it."""
