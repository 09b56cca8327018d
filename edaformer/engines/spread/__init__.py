"""One job over many processes and machines: who works, what is left, and what was done by whom."""
