"""DeepLabV3+: numbers, names and counts in one file, modules in the other."""
