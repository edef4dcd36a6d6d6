"""Post records to the ledger: insert, fold, expire, and cascade to children (spec 5)."""
