"""A Hub that is out of reach, named as what it is in a few seconds; what the cache has is used."""

import socket
import subprocess
import sys
import threading
import time
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from huggingface_hub import constants

from sepo_data.errors import HubError
from sepo_data.storage import hub
from sepo_data.storage.hub import explain, out_of_reach, reach_files, reach_model

SEPO = Path(sys.executable).with_name("sepo")


@pytest.fixture(autouse=True)
def _online(monkeypatch):
    """A process that has not asked the Hub yet, and may do so."""
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setenv("HF_HUB_OFFLINE", "")
    monkeypatch.delenv("TRANSFORMERS_OFFLINE", raising=False)
    monkeypatch.setattr(hub, "ANSWER_SECONDS", 0.3)
    out_of_reach.cache_clear()
    yield
    out_of_reach.cache_clear()


@pytest.fixture
def endpoint(monkeypatch):
    """Let the Hub be at an address: of a server with this status, of one that never answers, or of none."""
    with ExitStack() as stack:

        def start(kind):
            monkeypatch.setattr(constants, "ENDPOINT", _address(kind, stack))

        yield start


def _address(kind, stack):
    if isinstance(kind, str) and "://" in kind:
        return kind
    if isinstance(kind, int):
        server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (Answers,), {"status": kind}))
        stack.callback(server.server_close)
        stack.callback(server.shutdown)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{server.server_address[1]}"
    silent = socket.socket()
    stack.callback(silent.close)
    silent.bind(("127.0.0.1", 0))
    scheme = "https" if kind == "not TLS" else "http"
    if kind != "refused":
        silent.listen()
    if kind == "not TLS":
        threading.Thread(target=_answer_plainly, args=(silent,), daemon=True).start()
    return f"{scheme}://127.0.0.1:{silent.getsockname()[1]}"


def _answer_plainly(server):
    connection, _ = server.accept()
    with connection:
        connection.recv(1 << 10)
        connection.sendall(b"HTTP/1.1 400 Bad\r\n\r\n")


class Answers(BaseHTTPRequestHandler):
    status = 200

    def do_HEAD(self):
        self.send_response(self.status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("https://nowhere.invalid", "no address was found for nowhere.invalid; there is no network or no DNS"),
        ("refused", "refuses the connection"),
        ("silent", "does not answer; HF_HUB_ETAG_TIMEOUT=30 waits longer"),
        ("not TLS", "no secure connection to 127.0.0.1"),
        (500, "the Hub is out of order (status 500)"),
        (503, "the Hub is out of order (status 503)"),
        (429, "the Hub has had too many requests from here (status 429)"),
    ],
)
def test_out_of_reach(endpoint, kind, reason):
    endpoint(kind)
    began = time.monotonic()
    assert reason in out_of_reach("user/name", "model")
    assert time.monotonic() - began < 5
    assert constants.HF_HUB_OFFLINE, "the libraries do not ask again"
    with pytest.raises(HubError, match=r"user/name is no local folder, and .*; the cache on this machine does not"):
        reach_model("user/name")
    with pytest.raises(HubError, match="hf://datasets/user/name@main/x"):
        reach_files("hf://datasets/user/name@main/x")


@pytest.mark.parametrize("status", [200, 307, 401, 403, 404])
def test_what_the_libraries_find_out_themselves(endpoint, status):
    endpoint(status)
    assert out_of_reach("user/name", "dataset") == ""
    assert not constants.HF_HUB_OFFLINE


@pytest.mark.parametrize("name", ["/no/such/folder", "a b", "https://x/y", "one/two/three", "."])
def test_no_hub_is_asked_for_what_is_no_id(endpoint, name):
    endpoint("refused")
    assert reach_model(name) == ""


@pytest.mark.parametrize("variable", ["HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"])
def test_offline_mode_is_named(monkeypatch, variable):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setenv(variable, "1")
    with pytest.raises(HubError, match=f"{variable} is set, so the Hub is not asked") as caught:
        reach_model("user/name")
    assert caught.value.hint == f"unset {variable}, or name a local copy"


class Response:
    def __init__(self, status):
        self.status_code = status


class HfHubHTTPError(Exception):
    def __init__(self, status):
        super().__init__(f"status {status}")
        self.response = Response(status)


class GatedRepoError(HfHubHTTPError):
    pass


class RepositoryNotFoundError(HfHubHTTPError):
    pass


@pytest.mark.parametrize(
    ("error", "means"),
    [
        (GatedRepoError(403), "the model user/name is gated"),
        (HfHubHTTPError(401), "the token is not accepted"),
        (HfHubHTTPError(403), "the token is not accepted"),
        (HfHubHTTPError(502), "out of order (status 502)"),
        (HfHubHTTPError(429), "too many requests"),
        (ConnectionRefusedError(111, "Connection refused"), "refuses the connection"),
        (socket.gaierror(-2, "Name or service not known"), "no address was found"),
        (RepositoryNotFoundError(401), None),
        (RepositoryNotFoundError(404), None),
        (ValueError("a config is missing"), None),
    ],
)
def test_errors_of_the_libraries(error, means):
    outer = OSError("a specific connection error")
    outer.__cause__ = error
    found = explain(outer, "user/name", "model")
    assert (found is None) if means is None else (means in str(found))


@pytest.mark.slow
def test_a_cached_model_is_used_when_the_hub_has_gone(hub_double, tiny_model, environment, prefs, tmp_path):
    def check(endpoint):
        own = {"HF_ENDPOINT": endpoint, "HF_HOME": str(tmp_path), "HF_HUB_OFFLINE": "", "HF_HUB_DISABLE_XET": "1"}
        command = [SEPO, "check", prefs, "--tokenizer", "tester/tiny", "--quiet"]
        return subprocess.run(command, env=environment | own, capture_output=True, text=True, check=False)

    with hub_double.HubDouble() as double:
        double.repos["models", "tester/tiny"] = hub_double.Repo(private=False)
        files = {file.name: file.read_bytes() for file in tiny_model.iterdir() if file.suffix != ".safetensors"}
        double.repos["models", "tester/tiny"].commit(files)
        first = check(double.url)
    assert first.returncode == 0, first.stderr
    again = check(double.url)
    assert again.returncode == 0, again.stderr
    assert again.stdout == first.stdout
    assert "refuses the connection; tester/tiny is read from its cache" in again.stderr
