"""How what a label file holds becomes classes: index, grey value or colour; tables of values."""
