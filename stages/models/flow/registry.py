"""The flow methods by name: the one file that knows which there are.

A method of your own is a function of two pictures, ``module:function`` or an entry point of the
group ``steadymask.flow_methods``, or a class that makes one: see `PluginMethod`.
"""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import ConfigError, InputError
from pipeline.plugins import code_digest, let_import, load_plugin, plugin_points
from stages.models.flow.contract import FlowModel
from stages.models.flow.deepflow import DeepFlow
from stages.models.flow.dis import DisFlow, Preset
from stages.models.flow.settings import FAMILY, NetworkSettings

ENTRY_POINTS = "steadymask.flow_methods"
OWN_NETWORK = NetworkSettings()


@dataclass(frozen=True)
class FlowChoice:
    """A flow method with its settings: the fields of `stages.flow.Flow` that it may use."""

    method: str
    preset: Preset = "medium"
    weights: str = ""
    device: str = "cpu"
    network: NetworkSettings = OWN_NETWORK
    options: tuple[tuple[str, Any], ...] = ()
    modules: str = ""


class FlowMethod(ABC):
    """One way to estimate flow between two pictures."""

    @abstractmethod
    def build(self, choice: FlowChoice) -> FlowModel:
        """Return the estimator with these settings."""

    def digest(self, choice: FlowChoice) -> str:
        """Return the digest of weights or code, for keys; empty where neither can change."""
        return ""

    def check(self, choice: FlowChoice) -> None:
        """Refuse settings that are not for this method.

        Raises
        ------
        ConfigError
        """
        choice.network.check(choice.method)
        if choice.options:
            raise ConfigError(
                f"flow.options = {dict(choice.options)}: expected none with flow.method = "
                f"{choice.method!r}; only methods of your own take them"
            )


class DisMethod(FlowMethod):
    """Dense inverse search, of OpenCV; see `stages.models.flow.dis`."""

    def build(self, choice: FlowChoice) -> FlowModel:
        """Return the estimator of the preset."""
        return DisFlow(choice.preset)


class DeepFlowMethod(FlowMethod):
    """DeepFlow, of OpenCV; see `stages.models.flow.deepflow`."""

    def build(self, choice: FlowChoice) -> FlowModel:
        """Return the estimator."""
        return DeepFlow()


class NetworkMethod(FlowMethod):
    """A network of ptlflow; see `stages.models.flow.ptlflow`."""

    def build(self, choice: FlowChoice) -> FlowModel:
        """Return the network with its weights."""
        from stages.models.flow.ptlflow import load_flow_network

        model: FlowModel = load_flow_network(
            choice.method, choice.weights, choice.device, choice.network, known=known_methods()
        )
        return model

    def digest(self, choice: FlowChoice) -> str:
        """Return the digest of the weights, which are downloaded if need be."""
        from stages.models.flow.ptlflow import weights_digest

        return weights_digest(choice.method, choice.weights, known=known_methods())


class PluginMethod(FlowMethod):
    """A method of the user's.

    ``module:object`` names a function of two RGB pictures (H, W, 3) uint8, and of the settings
    ``flow.options`` by keyword, that returns the flow from the first to the second, (2, H, W)
    float32, pixels, x before y. Or it names a class that is made with ``flow.options``, once a
    worker, and whose instances are such functions. It must depend on nothing but these.
    """

    def build(self, choice: FlowChoice) -> FlowModel:
        """Return the function, or an instance of the class, with its answers checked."""
        if choice.modules:
            let_import(choice.modules)
        plugin = load_plugin(
            choice.method, setting="flow.method", group=ENTRY_POINTS, known=METHODS
        )
        options = dict(choice.options)
        try:
            function = plugin(**options) if inspect.isclass(plugin) else partial(plugin, **options)
        except TypeError as error:
            raise ConfigError(f"flow.options = {options}: {choice.method}: {error}") from error
        return _CheckedFlow(choice.method, function)

    def digest(self, choice: FlowChoice) -> str:
        """Return the digest of the file that defines it."""
        let_import(choice.modules or str(Path.cwd()))
        return code_digest(choice.method, ENTRY_POINTS)

    def check(self, choice: FlowChoice) -> None:
        """Refuse settings of networks."""
        choice.network.check(choice.method)


class _CheckedFlow:
    """A user's function, held to its contract."""

    def __init__(self, spec: str, function: Any) -> None:
        self._spec, self._function = spec, function

    def __call__(self, first: NDArray[np.uint8], second: NDArray[np.uint8]) -> NDArray[np.float32]:
        try:
            answer = np.asarray(self._function(first.copy(), second.copy()))
        except Exception as error:
            raise InputError(f"{self._spec}: {type(error).__name__}: {error}") from error
        shape = (2, *first.shape[:2])
        if answer.shape != shape or answer.dtype.kind != "f" or not np.isfinite(answer).all():
            raise InputError(
                f"{self._spec}: expected finite floats {shape}, got {answer.dtype} {answer.shape}"
            )
        return answer.astype(np.float32)


METHODS: dict[str, FlowMethod] = {"dis": DisMethod(), "deepflow": DeepFlowMethod()}
"""The methods that come with the program; other names are of ptlflow's networks."""


METHOD_NAMES = ", ".join(METHODS)
FAMILY_NAMES = ", ".join(FAMILY)
"""For texts: the methods that come with the program, and the networks that it runs itself."""


def known_methods() -> tuple[str, ...]:
    """Return the names of methods that are no networks: the program's, and installed packages'."""
    return (*METHODS, *plugin_points(ENTRY_POINTS))


def find_method(name: str) -> FlowMethod:
    """Return the method of a name; a network of ptlflow is looked up when it is built.

    Examples
    --------
    >>> [type(find_method(name)).__name__ for name in ("dis", "gma", "mine:flow")]
    ['DisMethod', 'NetworkMethod', 'PluginMethod']
    """
    if name in METHODS:
        return METHODS[name]
    if ":" in name or name in plugin_points(ENTRY_POINTS):
        return PluginMethod()
    return NetworkMethod()
