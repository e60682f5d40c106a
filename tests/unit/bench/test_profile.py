from __future__ import annotations

from bench.profile import Profile

PROFILE = Profile(
    cpu=1.0,
    stacks=(
        (("a.py:main:1", "b.py:read:5"), 60),
        (("a.py:main:1", "b.py:read:7"), 20),
        (("a.py:main:1", "c.py:write:3"), 15),
        (("a.py:main:2",), 5),
    ),
)


def test_a_function_s_own_cost_is_what_was_seen_at_its_top() -> None:
    assert PROFILE.samples == 100
    assert PROFILE.own() == {"b.py:read": 80, "c.py:write": 15, "a.py:main": 5}
    assert PROFILE.own_lines()["b.py:read:5"] == 60


def test_a_flame_graph_puts_each_function_on_its_caller_as_wide_as_its_share() -> None:
    blocks = {(block.name, block.depth): (block.left, block.width) for block in PROFILE.blocks()}
    assert blocks == {
        ("a.py:main", 0): (0.0, 1.0),
        ("b.py:read", 1): (0.0, 0.8),
        ("c.py:write", 1): (0.8, 0.15),
    }
