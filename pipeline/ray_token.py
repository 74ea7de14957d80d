"""Ask a Ray cluster whether it takes our token, before Ray waits half a minute for it."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

from pipeline.errors import NowhereError

WAIT_S = 5.0
CLIENT = "ray://"
ADVICE = (
    "give the token of its head (ray get-auth-token there) in RAY_AUTH_TOKEN, or in a file that "
    "RAY_AUTH_TOKEN_PATH names, or in ~/.ray/auth_token, and set RAY_AUTH_MODE=token"
)


def check_token(address: str) -> None:
    """Refuse a cluster at HOST:PORT or ray://HOST:PORT that refuses our token.

    Whatever else may be wrong with it is left to Ray to say.

    Raises
    ------
    NowhereError
        Naming the variables and the file.
    """
    target = address.removeprefix(CLIENT)
    if ":" not in target or importlib.util.find_spec("grpc") is None:
        return
    import grpc

    by_client = address.startswith(CLIENT)
    method = "RayletDriver/ClusterInfo" if by_client else "NodeInfoGcsService/CheckAlive"
    token = our_token()
    headers = [("authorization", f"Bearer {token}")] if token else []
    with grpc.insecure_channel(target) as channel:
        call = channel.unary_unary(f"/ray.rpc.{method}")
        try:
            call(b"", timeout=WAIT_S, metadata=headers)
        except grpc.RpcError as error:
            if error.code() != grpc.StatusCode.UNAUTHENTICATED:
                return
            what = "refuses our token" if token else "asks for a token"
            raise NowhereError(f"ray: {address} {what}: {ADVICE}") from None


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
