"""docs/start.md, line by line, in a shell as a reader would have it."""

from __future__ import annotations

from pathlib import Path

from scenes import documented
from scenes.play import Play

from demo import shell


def test_what_is_not_run_here_is_the_demo_which_has_a_test_of_its_own() -> None:
    assert documented.unmarked("start.md") == ["make demo\n"]


async def test_every_command_of_the_first_five_minutes_does_what_the_page_says(play: Play, tmp_path: Path) -> None:
    stack, owner = play.stack, play.customer()
    await stack.dns.add_zone("mybrand.test")
    file = shell.write(stack, owner.token, stack.identity.operator_token())
    script = "\n".join([f". {file}", *documented.blocks("start.md", "start")])
    said = await documented.run(script, {}, tmp_path)
    assert said.count("refused\n") == 2, said
    assert "www.mybrand.test would not be served" in said
    assert "www.mybrand.test CNAME t-" in said
    assert said.count(str(owner.tenant_id)) >= 3, "the upstream did not see whose request it was"
    assert '"admin"' not in said
    assert '"activate"' in said
    assert '"sidecars"' in said
    assert "address of the API: control answers" in said, "the doctor has not looked at control"
    assert "Envoy's administration: live" in said, "the doctor has not looked at the sidecar"
