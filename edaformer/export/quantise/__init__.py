"""Eight bits written into the graph as Q/DQ: which nodes, with which ranges, in which places.

Like half precision it is in the graph's types, so that no builder flag can be forgotten. The three
steps are a file each: ``parts`` says which nodes, ``calibrate`` how large their tensors get, and
``place`` inserts the pairs.
"""
