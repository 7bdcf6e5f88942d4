"""A file comes whole and checked or not at all, and what came of it is not lost."""

import errno
import fcntl
import hashlib
import shutil
import socket
import ssl
import subprocess
import time
from urllib.request import Request

import pytest
from loopback import hdf5, serving, unused_url

from gac.data import download as module
from gac.data.download import HDF5_SIGNATURE, download
from gac.errors import UserError

BODY = hdf5(1_000_000)
SHA256 = hashlib.sha256(BODY).hexdigest()
PAGE = b"\n<!DOCTYPE html><html><body>Please log in to the network</body></html>"


class Told:
    """A report that remembers."""

    def __init__(self):
        self.begun, self.steps, self.said = [], [], []

    def begin(self, url):
        self.begun.append(url)

    def progress(self, done, total):
        self.steps.append((done, total))

    def say(self, line):
        self.said.append(line)


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    monkeypatch.setenv("no_proxy", "*")


@pytest.fixture
def site():
    with serving() as site:
        site.files["data.hdf5"] = BODY
        yield site


@pytest.fixture
def target(tmp_path):
    return tmp_path / "data.hdf5"


@pytest.fixture
def part(tmp_path):
    return tmp_path / "data.hdf5.part"


def get(urls, target, sha256=None):
    urls = [urls] if isinstance(urls, str) else urls
    return download(urls, target, sha256, Told())


def names(folder):
    return sorted(entry.name for entry in folder.iterdir())


def refused(urls, target, match, sha256=None):
    """The one line of a download that fails, which leaves no file."""
    with pytest.raises(UserError, match=match) as raised:
        get(urls, target, sha256)
    assert "\n" not in str(raised.value)
    assert not target.exists()
    return str(raised.value)


def test_a_file_comes_whole_and_nothing_else_stays(site, target, tmp_path):
    told = Told()
    assert download([site.url("data.hdf5")], target, SHA256, told) == SHA256
    assert target.read_bytes() == BODY
    assert names(tmp_path) == ["data.hdf5"]
    assert told.begun == [site.url("data.hdf5")]
    assert told.said == []
    assert told.steps[-1] == (len(BODY), len(BODY))
    assert [done for done, _ in told.steps] == sorted(done for done, _ in told.steps)


def test_a_server_that_does_not_tell_the_length_is_read_to_the_end(site, target):
    site.length = False
    assert get(site.url("data.hdf5"), target) == SHA256
    assert target.read_bytes() == BODY


def test_a_cut_that_only_the_file_itself_shows_is_seen(site, target, tmp_path):
    site.length = False
    site.sends["data.hdf5"] = [300_000]
    refused(site.url("data.hdf5"), target, "damaged HDF5 file, or only the beginning of one")
    assert names(tmp_path) == []


def test_a_transfer_that_is_cut_off_goes_on_at_once(site, target, tmp_path):
    site.sends["data.hdf5"] = [300_000, 500_000, None]
    assert get(site.url("data.hdf5"), target) == SHA256
    assert target.read_bytes() == BODY
    assert site.ranges_asked == [None, "bytes=300000-", "bytes=800000-"]
    assert names(tmp_path) == ["data.hdf5"]


def test_what_came_stays_and_the_next_call_goes_on(site, target, part):
    site.sends["data.hdf5"] = [300_000, 0]
    refused(site.url("data.hdf5"), target, f"cut off after 300,000 of {len(BODY):,} bytes")
    assert part.read_bytes() == BODY[:300_000]
    assert get(site.url("data.hdf5"), target) == SHA256
    assert target.read_bytes() == BODY
    assert site.ranges_asked[-1] == "bytes=300000-"


def test_a_server_without_ranges_begins_again(site, target):
    site.ranges = False
    site.sends["data.hdf5"] = [300_000, None]
    assert get(site.url("data.hdf5"), target) == SHA256
    assert target.read_bytes() == BODY


def test_a_range_that_begins_elsewhere_is_not_joined(site, target):
    site.shift = 5
    site.sends["data.hdf5"] = [300_000, None]
    assert get(site.url("data.hdf5"), target) == SHA256
    assert target.read_bytes() == BODY
    assert site.ranges_asked == [None, "bytes=300000-", None]


def test_a_file_that_changed_meanwhile_begins_again(site, target, part):
    site.etag = '"one"'
    site.sends["data.hdf5"] = [300_000, 0]
    refused(site.url("data.hdf5"), target, "cut off")
    other = hdf5(500_000, seed=1)
    site.files["data.hdf5"], site.etag = other, '"two"'
    get(site.url("data.hdf5"), target)
    assert target.read_bytes() == other
    assert site.asked[-1][1]["If-Range"] == '"one"'


def test_bytes_of_two_urls_are_joined_only_under_a_known_hash(site, target, part):
    site.files["copy.hdf5"] = BODY
    urls = [site.url("data.hdf5"), site.url("copy.hdf5")]
    site.sends["data.hdf5"] = [300_000, 0]
    assert get(urls, target) == SHA256
    assert site.ranges_asked == [None, "bytes=300000-", None]
    site.asked.clear()
    site.sends["data.hdf5"] = [300_000, 0]
    assert get(urls, target, SHA256) == SHA256
    assert site.ranges_asked == [None, "bytes=300000-", "bytes=300000-"]


def test_bytes_of_two_urls_do_not_pass_for_those_of_one(site, target, part):
    site.files["copy.hdf5"] = BODY
    site.sends |= {"data.hdf5": [300_000, 0], "copy.hdf5": [100_000, 0]}
    refused([site.url("data.hdf5"), site.url("copy.hdf5")], target, "cut off", SHA256)
    assert part.stat().st_size == 400_000
    site.asked.clear()
    assert get(site.url("data.hdf5"), target) == SHA256
    assert site.ranges_asked == [None]


def test_a_part_that_is_whole_needs_no_byte_more(site, target, part):
    part.write_bytes(BODY)
    assert get(site.url("data.hdf5"), target, SHA256) == SHA256
    assert site.ranges_asked == [f"bytes={len(BODY)}-"]
    assert target.read_bytes() == BODY


def test_a_part_longer_than_the_file_is_dropped(site, target, part):
    part.write_bytes(BODY + b"more")
    assert get(site.url("data.hdf5"), target, SHA256) == SHA256
    assert target.read_bytes() == BODY


def test_a_wrong_part_is_dropped_and_the_file_fetched_anew(site, target, part):
    part.write_bytes(b"x" * 1000)
    assert get(site.url("data.hdf5"), target, SHA256) == SHA256
    assert site.ranges_asked == ["bytes=1000-", None]
    assert target.read_bytes() == BODY


def test_a_wrong_hash_is_named_and_the_file_deleted(site, target, tmp_path):
    wrong = "0" * 64
    said = refused(site.url("data.hdf5"), target, f"SHA-256 is {SHA256}, expected {wrong}", wrong)
    assert site.url("data.hdf5") in said
    assert names(tmp_path) == []


def test_the_next_mirror_helps(site, target):
    told = Told()
    site.files |= {"page.hdf5": PAGE, "other.hdf5": HDF5_SIGNATURE + b"other"}
    with unused_url() as dead:
        urls = [dead, *map(site.url, ("none.hdf5", "page.hdf5", "other.hdf5", "data.hdf5"))]
        assert download(urls, target, SHA256, told) == SHA256
    assert told.begun == urls
    reasons = ["Connection refused", "404 Not Found", "it is a web page", "SHA-256"]
    for url, line, reason in zip(urls, told.said, reasons, strict=False):
        assert line.startswith(f"{url}: ")
        assert reason in line


def test_if_all_fail_each_is_named_with_its_reason(site, target, tmp_path):
    site.files |= {"page.hdf5": PAGE, "text.hdf5": b"observations,actions", "empty.hdf5": b""}
    site.status["busy.hdf5"] = 503
    with unused_url() as dead:
        urls = [dead, *map(site.url, ("page.hdf5", "text.hdf5", "empty.hdf5", "busy.hdf5"))]
        said = refused(urls, target, "data.hdf5 could not be fetched")
    for url, reason in zip(
        urls, ("refused", "a web page", "is no HDF5 file", "is empty", "503 Service Unavailable"), strict=True
    ):
        assert f"{url}: " in said
        assert reason in said
    assert "--mirror" in said
    assert names(tmp_path) == []


def test_a_page_in_place_of_the_rest_does_not_cost_what_came(site, target, part):
    site.sends["data.hdf5"] = [300_000, 0]
    refused(site.url("data.hdf5"), target, "cut off")
    site.files["data.hdf5"], site.ranges = PAGE, False
    refused(site.url("data.hdf5"), target, "it is a web page")
    assert part.read_bytes() == BODY[:300_000]


def test_a_silent_server_is_left(site, target, monkeypatch):
    monkeypatch.setattr(module, "TIMEOUT", 0.2)
    began = time.monotonic()
    with socket.create_server(("127.0.0.1", 0)) as silent:
        refused(f"http://127.0.0.1:{silent.getsockname()[1]}/data.hdf5", target, "timed out")
    assert time.monotonic() - began < 20


def test_room_is_looked_for_before_the_transfer(site, target, part, monkeypatch):
    free = type(shutil.disk_usage("/"))(10**9, 10**9, len(BODY) - 1)
    monkeypatch.setattr(module.shutil, "disk_usage", lambda _: free)
    with pytest.raises(UserError, match=r"No space left on device.; make room, or set GAC_CACHE"):
        get(site.url("data.hdf5"), target)
    assert not part.exists()
    monkeypatch.setattr(module.shutil, "disk_usage", lambda _: free._replace(free=len(BODY)))
    assert get(site.url("data.hdf5"), target) == SHA256


def test_a_full_disk_is_named_and_keeps_what_came(site, target, part, monkeypatch):
    def fail(self, block, write=module._Part.write):
        if self.size >= 500_000:
            raise OSError(errno.ENOSPC, "No space left on device")
        write(self, block)

    with monkeypatch.context() as patched:
        patched.setattr(module._Part, "write", fail)
        refused(site.url("data.hdf5"), target, "cannot be written .No space left on device.")
    assert part.stat().st_size >= 500_000
    assert get(site.url("data.hdf5"), target) == SHA256
    assert site.ranges_asked[-1] is not None


def test_ctrl_c_keeps_what_came(site, target, part):
    class Impatient(Told):
        def progress(self, done, total):
            if done >= 500_000:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        download([site.url("data.hdf5")], target, None, Impatient())
    assert not target.exists()
    assert part.read_bytes() == BODY[: part.stat().st_size]
    assert part.stat().st_size >= 500_000
    assert get(site.url("data.hdf5"), target) == SHA256
    assert site.ranges_asked[-1] is not None


def test_two_processes_do_not_write_one_part(site, target, part):
    with open(part, "wb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        refused(site.url("data.hdf5"), target, "in use")
    assert get(site.url("data.hdf5"), target) == SHA256


def test_redirects_are_followed_but_only_within_http(site, target):
    site.redirects |= {"moved.hdf5": site.url("data.hdf5"), "odd.hdf5": "ftp://127.0.0.1/data.hdf5"}
    assert get(site.url("moved.hdf5"), target) == SHA256
    target.unlink()
    refused(site.url("odd.hdf5"), target, "odd.hdf5: ")


def test_https_does_not_fall_back_to_http():
    request = Request("https://127.0.0.1/data.hdf5")
    with pytest.raises(module._Failure, match=r"redirects to http:.*, expected https"):
        module._Redirects().redirect_request(request, None, 302, "Found", {}, "http://127.0.0.1/x")


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl to make a certificate")
def test_a_certificate_that_nobody_has_signed_is_refused(target, tmp_path):
    certificate = tmp_path / "self-signed.pem"
    words = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=127.0.0.1"
    command = ["openssl", *words.split(), "-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run([*command, "-keyout", certificate, "-out", certificate], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with serving(context) as site:
        site.files["data.hdf5"] = BODY
        refused(site.url("data.hdf5").replace("http:", "https:"), target, "CERTIFICATE_VERIFY_FAILED")
        assert site.asked == []
