"""Exact influence by ablation. Imports torch: import it late."""
