"""Downloads from a server on this machine that answers badly."""

import errno
import hashlib
import os
import threading
import zipfile
from collections import namedtuple
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from crossfade.data.getting import GettingParameters, bringing
from crossfade.data.getting import downloads as module
from crossfade.data.getting.downloads import RemoteFile, fetch
from crossfade.errors import UserError

CONTENT = os.urandom(300_000)


class Server(ThreadingHTTPServer):
    """Serves `files`; does each of `faults` once: "503", "cut" (half of what is asked for), "whole" (no ranges)."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files: dict[str, bytes] = {"/a.bin": CONTENT}
        self.faults: list[str] = []
        self.ranges: list[str | None] = []

    def url(self, path: str = "/a.bin") -> str:
        return f"http://127.0.0.1:{self.server_port}{path}"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        asked = self.headers.get("Range")
        self.server.ranges.append(asked)
        fault = self.server.faults.pop(0) if self.server.faults else ""
        content = self.server.files.get(self.path)
        if content is None or fault == "503":
            self.send_error(404 if content is None else 503)
            return
        start = int(asked.removeprefix("bytes=").removesuffix("-")) if asked and fault != "whole" else 0
        if start and start >= len(content):
            self.send_error(416)
            return
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(content) - start))
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.end_headers()
        rest = content[start:]
        self.wfile.write(rest[: len(rest) // 2] if fault == "cut" else rest)

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setattr(module, "PAUSE", 0.001)
    with Server() as running:
        threading.Thread(target=running.serve_forever, args=(0.01,), daemon=True).start()
        yield running
        running.shutdown()


def remote(server, path="/a.bin", content=CONTENT, to="in/a.bin") -> RemoteFile:
    return RemoteFile(url=server.url(path), sha256=hashlib.sha256(content).hexdigest(), to=to)


def test_a_file_is_fetched_once(server, tmp_path):
    for _ in range(2):
        assert fetch("d", [remote(server)], tmp_path / "raw") == []
    assert (tmp_path / "raw/in/a.bin").read_bytes() == CONTENT
    assert server.ranges == [None]
    assert len(list((tmp_path / "raw/in").iterdir())) == 1


def test_it_goes_on_where_it_broke_off(server, tmp_path):
    server.faults = ["cut", "503", "cut"]
    fetch("d", [remote(server)], tmp_path / "raw")
    assert (tmp_path / "raw/in/a.bin").read_bytes() == CONTENT
    assert server.ranges == [None, "bytes=150000-", "bytes=150000-", "bytes=225000-"]


def test_a_server_that_knows_no_ranges_sends_all_of_it_again(server, tmp_path):
    server.faults = ["cut", "whole"]
    fetch("d", [remote(server)], tmp_path / "raw")
    assert (tmp_path / "raw/in/a.bin").read_bytes() == CONTENT


def test_what_was_fetched_before_an_interruption_counts(server, tmp_path):
    file = remote(server)
    part = tmp_path / "raw/in" / f".a.bin.{file.sha256[:8]}.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(CONTENT)  # all of it: only the renaming was left
    fetch("d", [file], tmp_path / "raw")
    assert server.ranges == ["bytes=300000-"]
    assert (tmp_path / "raw/in/a.bin").read_bytes() == CONTENT


def test_a_wrong_checksum_leaves_nothing(server, tmp_path):
    with pytest.raises(UserError, match=r"has the checksum [0-9a-f]{64}, not"):
        fetch("d", [remote(server, content=b"else")], tmp_path / "raw")
    assert not list((tmp_path / "raw/in").iterdir())
    (tmp_path / "raw/in/a.bin").write_bytes(b"an older version")
    fetch("d", [remote(server)], tmp_path / "raw")
    assert (tmp_path / "raw/in/a.bin").read_bytes() == CONTENT


def test_refusals_and_no_network(server, tmp_path):
    with pytest.raises(UserError, match=r"refuses .*/none\.bin \(404"):
        fetch("d", [remote(server, "/none.bin")], tmp_path / "raw")
    assert len(server.ranges) == 1  # not tried again
    server.faults = ["503"] * 9
    with pytest.raises(UserError, match=r"cannot be fetched .*503"):
        fetch("d", [remote(server)], tmp_path / "raw")
    assert len(server.ranges) == 1 + module.ATTEMPTS
    away = RemoteFile(url="http://127.0.0.1:9/a.bin", sha256="0" * 64)
    with pytest.raises(UserError, match=r"is there a network\?\): start again"):
        fetch("d", [away], tmp_path / "raw")


def test_a_name_leads_nowhere_else_and_two_files_do_not_share_one(tmp_path):
    away = RemoteFile(url="http://a/x/..%2F..%2Fevil.zip", sha256="0" * 64)
    assert away.path(tmp_path / "raw") == tmp_path / "raw-archives/evil.zip"
    for one, other in (
        ({"url": "http://a/b.zip"}, {"url": "http://c/b.zip"}),
        ({"url": "http://a/b", "to": "x/y"}, {"url": "http://a/c", "to": "x/./y"}),
    ):
        files = [{**file, "sha256": "0" * 64} for file in (one, other)]
        with pytest.raises(ValueError, match=f"{other['url']} would be written over another file"):
            GettingParameters(fetch=files)


def test_a_full_disk_is_no_fault_of_the_network(server, tmp_path, monkeypatch):
    usage = namedtuple("usage", "total used free")
    with monkeypatch.context() as patched:
        patched.setattr(bringing.shutil, "disk_usage", lambda _: usage(1, 1, 1000))
        with pytest.raises(UserError, match=r"300 KB are to be written below .*, but only 1\.0 KB are"):
            fetch("d", [remote(server)], tmp_path / "raw")
    assert server.ranges == [None]
    for number in (errno.ENOSPC, errno.EDQUOT):

        def full(*_: object, number: int = number) -> None:
            raise OSError(number, os.strerror(number))

        monkeypatch.setattr(module, "_go_on", full)
        with pytest.raises(UserError, match=rf"a\.bin cannot be written \({os.strerror(number)}\): free some space"):
            fetch("d", [remote(server)], tmp_path / "raw")
    (tmp_path / "raw/file").write_bytes(b"x")
    with pytest.raises(UserError, match="cannot be written"):
        fetch("d", [remote(server, to="file/a.bin")], tmp_path / "raw")


def test_several_at_once_and_out_of_a_fetched_archive(server, tmp_path):
    from crossfade.data import prepare_data_set

    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        for name in ("train.txt", "val.txt", "test.txt"):
            archive.writestr(f"Tutorial-master/CamVid/{name}", "")
        archive.writestr("Tutorial-master/Models/big.bin", b"x" * 1000)
    packed = (tmp_path / "x.zip").read_bytes()
    server.files |= {"/x.zip": packed} | {f"/{k}.bin": bytes([k]) * 9 for k in range(6)}
    files = [remote(server, "/x.zip", packed, None)]
    files += [remote(server, f"/{k}.bin", bytes([k]) * 9, f"more/{k}.bin") for k in range(6)]
    raw = {"kind": "camvid", "root": str(tmp_path / "raw"), "fetch": [file.model_dump() for file in files]}
    with pytest.raises(UserError):  # the lists are empty
        prepare_data_set(raw, tmp_path / "data/c", workers=3)
    assert (tmp_path / "raw/train.txt").exists()
    assert not list(tmp_path.rglob("big.bin"))
    assert (tmp_path / "raw-archives/x.zip").exists()
    assert [(tmp_path / f"raw/more/{k}.bin").read_bytes() for k in range(6)] == [bytes([k]) * 9 for k in range(6)]


@pytest.mark.parametrize(
    "wrong",
    [{"url": f"http://a/{name}"} for name in ("", "b/..%2F..", "b%00c", "..")]
    + [{"url": "file:///etc/passwd"}, {"sha256": "abc"}, {"to": "../x"}, {"to": "/x"}],
)
def test_what_cannot_be_fetched_is_told_before(wrong):
    with pytest.raises(ValueError):
        RemoteFile.model_validate({"url": "http://a/b.zip", "sha256": "0" * 64} | wrong)
