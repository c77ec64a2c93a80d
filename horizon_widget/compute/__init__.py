"""Experiments on one prompt, by ablation and by gradients. Imports torch, so import it late."""

import horizon_widget.models  # noqa: F401 - sets how torch's threads wait, before torch is imported
