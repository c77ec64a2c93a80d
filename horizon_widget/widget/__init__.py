"""The widget: its traits and messages, what it is asked, and whose turn it is to change them."""

from horizon_widget.widget.widget import HorizonWidget

__all__ = ["HorizonWidget"]
