"""What others talk to: HTTP. Starts in about a second, without torch."""
