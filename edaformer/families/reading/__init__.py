"""Reading other people's weights: files that are believed in nothing, and run in nothing."""
