from __future__ import annotations

import pytest

from tests.hostile.campaign import campaign
from tests.hostile.readers import READERS

CASES = 2000


@pytest.mark.slow
def test_every_reader_reads_or_refuses_in_words() -> None:
    """The corpus, then seed 0; ``python -m tests.hostile`` has more of both."""
    tally = campaign(READERS, seed=0, cases=CASES)
    told = [f"{one.reader}, {one.number}: {one.text}\n  {one.smallest}" for one in tally.finds]
    assert not told, "\n".join(told)
    assert sum(tally.kinds.values()) >= CASES
    for reader in READERS:  # a reader that refuses everything, or nothing, tests nothing
        assert tally.count(reader.name) > tally.kinds[reader.name, "find"], reader.name
