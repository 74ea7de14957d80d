"""A cluster that asks for a token says so at once: a server that answers as Ray's does."""

from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest

from pipeline.errors import NowhereError
from pipeline.ray_token import check_token


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
        check_token(scheme + cluster)
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    monkeypatch.setenv("RAY_AUTH_TOKEN", "wrong")
    with pytest.raises(NowhereError, match="refuses our token"):
        check_token(scheme + cluster)
    monkeypatch.setenv("RAY_AUTH_TOKEN", "right")
    check_token(scheme + cluster)


def test_the_token_may_lie_in_a_file(cluster, home, monkeypatch):
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    (home / ".ray").mkdir()
    (home / ".ray" / "auth_token").write_text("right\n")
    check_token(cluster)
    other = home / "other"
    other.write_text("wrong")
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(other))
    with pytest.raises(NowhereError, match="refuses our token"):
        check_token(cluster)


def test_a_cluster_that_is_not_there_is_left_to_ray():
    check_token("127.0.0.1:1")
    check_token("auto")
