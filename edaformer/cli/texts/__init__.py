"""Results as text that fits a terminal."""
