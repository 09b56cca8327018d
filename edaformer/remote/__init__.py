"""Another machine of one's own, over ssh: what it has, files to and from it, our commands on it."""
