"""Child processes: how they start, fail, end, and die with their parent."""

import os
import signal
import subprocess
import sys
import textwrap

import pytest

from embedded.process import Process, ServerFailed, children, is_running, run


async def ready() -> bool:
    return True


async def never() -> bool:
    return False


async def test_a_child_is_ended_by_its_own_id(state_dir):
    child = await Process.start("sleep", ["sleep", "600"], log_path=state_dir / "log", ready=ready)
    assert child.returncode is None
    assert child.pid in children(os.getpid())
    assert await child.stop() == -signal.SIGTERM
    assert child.pid not in children(os.getpid())


async def test_a_child_that_ignores_the_request_to_stop_is_killed(state_dir):
    log = state_dir / "log"
    argv = ["bash", "-c", "trap '' TERM; echo up; while :; do read -t 1 < <(:) || sleep 0.1; done"]

    async def up() -> bool:
        return log.read_text() == "up\n"

    child = await Process.start("stubborn", argv, log_path=log, ready=up)
    assert await child.stop(grace=0.2) == -signal.SIGKILL


async def test_a_child_that_dies_while_starting_is_reported_with_the_end_of_its_log(state_dir):
    argv = ["bash", "-c", "echo cannot bind port; exit 3"]
    with pytest.raises(ServerFailed, match=r"(?s)server exited with 3 while starting.*cannot bind port"):
        await Process.start("server", argv, log_path=state_dir / "log", ready=never)


async def test_a_child_that_is_not_ready_in_time_is_reported_and_gone(state_dir):
    before = set(children(os.getpid()))
    with pytest.raises(ServerFailed, match=r"server was not ready after 0.1 s"):
        await Process.start("server", ["sleep", "600"], log_path=state_dir / "log", ready=never, deadline=0.1)
    assert set(children(os.getpid())) == before


async def test_a_command_that_fails_is_reported_with_its_output():
    with pytest.raises(ServerFailed, match=r"(?s)bash exited with 4.*no such thing"):
        await run(["bash", "-c", "echo no such thing >&2; exit 4"])
    assert await run(["echo", "fine"]) == "fine\n"


async def test_a_child_dies_with_a_parent_that_is_killed(state_dir, eventually):
    parent_source = textwrap.dedent(
        """
        import asyncio, sys
        from pathlib import Path
        from embedded.process import Process

        async def ready():
            return True

        async def main():
            child = await Process.start("sleep", ["sleep", "600"], log_path=Path(sys.argv[1]), ready=ready)
            print(child.pid, flush=True)
            await asyncio.sleep(600)

        asyncio.run(main())
        """
    )
    argv = [sys.executable, "-c", parent_source, str(state_dir / "log")]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as parent:
        child = int(parent.stdout.readline())
        assert is_running(child)
        parent.kill()
    await eventually(lambda: not is_running(child))
