"""What several commands take, and do something about before they begin."""
