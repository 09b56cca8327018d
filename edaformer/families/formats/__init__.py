"""Files of weights that other projects write: names for ours, sizes off shapes, strict checks."""
