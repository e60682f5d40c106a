"""The fuzz target's corpus and a few thousand mutations of it: minutes of it are run by hand (tests/fuzz/http2.py)."""

from __future__ import annotations

from collections import Counter
from itertools import islice
from pathlib import Path
from random import Random

import pytest
from fuzz.http2 import CORPUS, LIMITS, execute, inputs, seeds


@pytest.mark.parametrize("path", sorted(CORPUS.glob("*.bin")), ids=lambda path: path.stem)
def test_the_corpus_is_read_without_a_finding(path: Path) -> None:
    for seed in range(len(LIMITS)):
        execute(path.read_bytes(), seed)


def test_some_thousand_mutations_are_read_without_a_finding_and_reach_most_ends() -> None:
    ends = Counter(execute(data, seed) for seed, data in enumerate(islice(inputs(Random(4), seeds()), 3_000)))
    assert set(ends) >= {
        "open",
        "PROTOCOL_ERROR",
        "COMPRESSION_ERROR",
        "FRAME_SIZE_ERROR",
        "FLOW_CONTROL_ERROR",
        "STREAM_CLOSED",
        "ENHANCE_YOUR_CALM",
    }
