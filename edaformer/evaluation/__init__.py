"""How results are judged: the protocol, the metrics, their intervals."""
