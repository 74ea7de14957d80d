"""Which nodes wait for which others, and which are ready."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Hashable, Sequence
from heapq import heappop, heappush
from typing import Any, Generic, TypeVar

N = TypeVar("N", bound=Hashable)


class Graph(Generic[N]):
    """Nodes that count what they wait for, so that each costs the same in a graph of any size."""

    def __init__(self) -> None:
        self._missing: dict[N, int] = {}  # of nodes not done
        self._readers: dict[N, list[N]] = defaultdict(list)
        self._rank: dict[N, tuple[Any, int]] = {}
        self._ready: list[tuple[tuple[Any, int], N]] = []
        self._given: set[N] = set()  # by `pop`, not done since
        self._needs: dict[N, Sequence[N]] = {}
        self._unread: Counter[N] = Counter()  # readers that are not done

    def add(self, node: N, rank: object, needs: Sequence[N], missing: int) -> None:
        """Add a node that reads `needs`, `missing` of them not done; a lower rank goes first."""
        self._rank[node] = (rank, len(self._rank))  # no two alike: nodes are not compared
        self._missing[node] = missing
        self._needs[node] = needs
        self._unread.update(needs)
        for other in needs:
            self._readers[other].append(node)
        self._offer_node(node)

    def pop(self) -> N | None:
        """Return a node that waits for none, and not again; None if there is none now."""
        while self._ready:
            _, node = heappop(self._ready)
            if self._missing.get(node, 1) == 0 and node not in self._given:
                self._given.add(node)
                return node
        return None

    def complete(self, node: N) -> list[N]:
        """Take down that a node is done; return those that no other will read."""
        del self._missing[node]
        self._given.discard(node)
        for reader in self._readers[node]:
            if reader in self._missing:
                self._missing[reader] -= 1
                self._offer_node(reader)
        self._unread.subtract(self._needs[node])
        return [other for other in self._needs[node] if not self._unread[other]]

    def undo(self, node: N, missing: int) -> None:
        """Take down that a node that was done is not, and waits for `missing` others."""
        self._missing[node] = missing
        self._unread.update(self._needs[node])
        for reader in self._readers[node]:
            if reader in self._missing:
                self._missing[reader] += 1
        self._offer_node(node)

    def give_back(self, node: N) -> None:
        """Take down that a node given by `pop` was not done after all."""
        self._given.discard(node)
        self._offer_node(node)

    def _offer_node(self, node: N) -> None:
        if self._missing[node] == 0:
            heappush(self._ready, (self._rank[node], node))
