"""From files of any kind to clean sentences, and from those to numbers; no torch."""
