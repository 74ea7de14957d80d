"""Ask a Ray cluster whether it takes our token, before Ray waits half a minute for it."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

from pipeline.errors import NowhereError

WAIT_S = 5.0
ADVICE = (
    "give the token of its head (ray get-auth-token there) in RAY_AUTH_TOKEN, or in a file that "
    "RAY_AUTH_TOKEN_PATH names, or in ~/.ray/auth_token, and set RAY_AUTH_MODE=token"
)
OTHER_SERVER = (
    "what listens there is no head of a cluster: expected HOST:6379 (--port of ray start --head) "
    "or ray://HOST:10001 (its --ray-client-server-port)"
)
CALLS = {True: "RayletDriver/ClusterInfo", False: "NodeInfoGcsService/CheckAlive"}  # by client?


def ask_cluster(server: tuple[str, int], address: str, *, by_client: bool) -> None:
    """Refuse a server that refuses our token, or that is no head of a cluster.

    Whatever else may be wrong with it is left to Ray to say.

    Parameters
    ----------
    server : host and port
    address : str
        Of the server, as the user wrote it.
    by_client : bool
        Whether it must be the server of Ray's client; else the head itself.

    Raises
    ------
    NowhereError
        Naming the variables and the file, or the port.
    """
    if importlib.util.find_spec("grpc") is None or os.environ.get("RAY_USE_TLS", "0") != "0":
        return
    import grpc

    token, (host, port) = our_token(), server
    headers = [("authorization", f"Bearer {token}")] if token else []
    target = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    direct = [("grpc.enable_http_proxy", 0)]  # as Ray goes: a proxy for the web knows no cluster
    with grpc.insecure_channel(target, options=direct) as channel:
        call = channel.unary_unary(f"/ray.rpc.{CALLS[by_client]}")
        try:
            call(b"", timeout=WAIT_S, metadata=headers)
        except grpc.RpcError as error:
            code = error.code()
            if code == grpc.StatusCode.UNAUTHENTICATED:
                problem = "refuses our token" if token else "asks for a token"
                raise NowhereError(f"ray: {address} {problem}: {ADVICE}") from None
            if code in (grpc.StatusCode.UNIMPLEMENTED, grpc.StatusCode.UNAVAILABLE):
                raise NowhereError(f"ray: {address}: {OTHER_SERVER}") from None


def our_token() -> str:
    """Return the token that Ray would send: none unless ``RAY_AUTH_MODE`` is ``token``."""
    if os.environ.get("RAY_AUTH_MODE", "").lower() != "token":
        return ""
    if token := os.environ.get("RAY_AUTH_TOKEN", ""):
        return token
    file = Path(os.environ.get("RAY_AUTH_TOKEN_PATH") or Path.home() / ".ray" / "auth_token")
    try:
        return file.read_text(encoding="utf-8").strip()
    except OSError:
        return ""
