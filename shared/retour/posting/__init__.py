"""Records into the ledger: posted, folded, expired, passed on to children (spec 5)."""
