"""How fast, how small and how cheap Retour is, beside the usual ways, measured in one run (`make bench`)."""
