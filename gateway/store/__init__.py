"""From retained documents to validated devices, and the last good ones on disk."""
