"""Does it still segment as PyTorch did? Figures, gates, report, and where it departs."""
