"""The read model: documents and pages of what is stored. API, console and replies read the ledger here."""
