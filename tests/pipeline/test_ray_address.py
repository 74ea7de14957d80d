"""A cluster that is not there, or asks for a token, is told at once: by servers like Ray's."""

import socket
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest

from pipeline.errors import NowhereError
from pipeline.ray_address import check_address


class AsksForToken(grpc.GenericRpcHandler):
    def service(self, call):
        headers = dict(call.invocation_metadata)

        def answer(request, context):
            if headers.get("authorization") != "Bearer right":
                context.abort(grpc.StatusCode.UNAUTHENTICATED, "InvalidAuthToken")
            return b""

        return grpc.unary_unary_rpc_method_handler(answer)


@pytest.fixture
def cluster():
    server = grpc.server(ThreadPoolExecutor(2), handlers=(AsksForToken(),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield f"127.0.0.1:{port}"
    server.stop(None)


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


@pytest.mark.parametrize("scheme", ["", "ray://"])
def test_a_missing_or_wrong_token_is_told_with_where_to_give_it(cluster, scheme, monkeypatch):
    with pytest.raises(NowhereError, match=r"asks for a token: .*RAY_AUTH_TOKEN_PATH"):
        check_address(scheme + cluster)
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    monkeypatch.setenv("RAY_AUTH_TOKEN", "wrong")
    with pytest.raises(NowhereError, match="refuses our token"):
        check_address(scheme + cluster)
    monkeypatch.setenv("RAY_AUTH_TOKEN", "right")
    check_address(scheme + cluster)


def test_the_token_may_lie_in_a_file(cluster, home, monkeypatch):
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    (home / ".ray").mkdir()
    (home / ".ray" / "auth_token").write_text("right\n")
    check_address(cluster)
    other = home / "other"
    other.write_text("wrong")
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(other))
    with pytest.raises(NowhereError, match="refuses our token"):
        check_address(cluster)


@pytest.mark.parametrize("scheme", ["", "ray://"])
def test_an_address_where_nothing_listens_is_refused_at_once(scheme):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"{scheme}127.0.0.1:{unused.getsockname()[1]}"
        with pytest.raises(NowhereError, match=r"nothing listens there \(connection refused\)"):
            check_address(address)


def test_a_server_of_another_kind_is_told_with_the_ports(monkeypatch):
    server = grpc.server(ThreadPoolExecutor(2))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        with pytest.raises(NowhereError, match=r"no head of a cluster: expected HOST:6379"):
            check_address(f"ray://127.0.0.1:{port}")
        monkeypatch.setenv("RAY_ADDRESS", f"127.0.0.1:{port}")
        with pytest.raises(NowhereError, match="no head of a cluster"):
            check_address("auto")
    finally:
        server.stop(None)


@pytest.mark.parametrize("address", ["http://head:8265", "head", "ray://", "head:port", ":6379"])
def test_an_address_of_another_form_is_told_those_there_are(address):
    with pytest.raises(NowhereError, match=r"--address .*: expected auto, HOST:PORT .* or ray://"):
        check_address(address)


def test_a_cluster_on_this_machine_is_left_to_ray(monkeypatch):
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    check_address("auto")
