"""SegFormer as other projects write it: a format each, known by its keys, read by one reader."""
