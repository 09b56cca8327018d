"""Hostile bytes for every reader: a seeded campaign, its finds, and kills at random moments.

    python -m tests.hostile --cases 20000            every reader; --reader NAME for one
    python -m tests.hostile --kills 200              SIGKILL for every command that writes

A case is a reader's sound files, damaged in one to three steps that follow from seed and number
alone (``damage/``), then read in a child process (``worker.py``), which may die or hang without
taking the campaign with it: the reason for a generator of our own, where Hypothesis would run in
the process that is attacked. A find is cut down to the fewest steps and bytes that still show it.
"""
