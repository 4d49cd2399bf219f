"""The encoder of Devlin et al. 2019: its sizes, its layers, its heads, and its Hugging Face names."""
