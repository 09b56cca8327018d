"""Model families: what all share, a folder each, and the table that the commands ask."""
