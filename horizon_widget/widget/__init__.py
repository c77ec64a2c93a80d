"""The widget: its traits and messages, what it is asked, and which thread changes them."""
