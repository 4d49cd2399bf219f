"""The spine: names, stores, stages, places and records. Knows nothing of BERT."""
