"""The list behind `make sockets` names every command, and knows a socket when it sees one."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

from tests.trace_sockets import MODULE, Run, commands, report, runs, sockets_in, traced


def test_every_command_has_an_entry() -> None:
    assert commands() - {run.name for run in runs("http://127.0.0.1:1")} == set()
    assert {"reenact", "weights pull", "evaluate self", "credentials show"} <= commands()


def test_only_sockets_that_may_reach_a_network_count() -> None:
    trace = """
12 socket(AF_UNIX, SOCK_STREAM, 0) = 3
12 connect(3, {sa_family=AF_UNIX, sun_path="/run/x"}, 9) = -1
13 socket(AF_INET, SOCK_DGRAM|SOCK_CLOEXEC, IPPROTO_IP) = 4
13 connect(4, {sa_family=AF_INET, sin_port=htons(53), sin_addr=inet_addr("10.0.0.1")}, 16) = 0
14 socket(AF_INET6, SOCK_STREAM, 0) = 5
14 socket(AF_NETLINK, SOCK_RAW, 0) = 6
"""
    assert [line[:2] for line in sockets_in(trace)] == ["13", "13", "14", "14"]


def test_who_says_nothing_may_open_none(capsys: pytest.CaptureFixture[str]) -> None:
    opened = ["12 socket(AF_INET, SOCK_STREAM, 0) = 3"]
    assert report(Run(["verify", "a.mp4"]), 0, opened, "") == [f"verify: {opened[0]}"]
    assert report(Run(["serve"], "a server"), 0, opened, "") == []
    assert report(Run(["verify", "a.mp4"]), 1, [], "error: gone\n") == ["verify: exit code 1, not 0: error: gone"]
    assert "says so: a server" in capsys.readouterr().out


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")
def test_a_process_is_followed_into_its_children(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opens = "import socket; socket.socket(socket.AF_INET, socket.SOCK_DGRAM)"
    code = f"import subprocess, sys; subprocess.run([sys.executable, '-c', '{opens}'], check=True)"
    monkeypatch.setattr("tests.trace_sockets.MODULE", [sys.executable, "-c", code])
    ended, sockets, _ = traced(Run(["x"]), tmp_path, 0)
    assert ended == 0 and len(sockets) == 1 and "AF_INET" in sockets[0]
    assert MODULE[1:] == ["-m", "vid2vid_cli"]
