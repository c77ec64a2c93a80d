"""The widget: its traits and messages, its question, and the thread that changes them."""
