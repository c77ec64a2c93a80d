"""Loading, tokenising and tracing language models. Imports torch and nnsight: import it late."""
