"""The encoder, of either architecture: its sizes, its layers, its heads, and its Hugging Face names."""
