"""Exact, elastic training: batches as a pure function of the seed, ZeRO, checkpoints free of the number of ranks."""
