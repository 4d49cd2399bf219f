"""Where it runs: Ray, ranks and services. Knows nothing of BERT."""
