"""What is computed next for one widget, and what is told about it."""

from horizon_widget.controller.controller import Controller
from horizon_widget.controller.listener import Listener, Status

__all__ = ["Controller", "Listener", "Status"]
