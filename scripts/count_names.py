"""Count names of one word, names that say nothing, and empty phrases; list those to change.

Run ``python scripts/count_names.py [--list]``; `tests/test_names.py` holds the bounds. A method
that a contract names (a base class of the project, ``forward`` of a network) counts once, where the
contract is.
"""

from __future__ import annotations

import ast
import re
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("pipeline", "stages", "steadymask")
FORBIDDEN = frozenset(
    ("found", "made", "said", "given", "held", "one", "look", "take", "place", "keep", "see")
) | {"seen"}
EMPTY_PHRASE = re.compile(r"\b(?:Return|Returns|Yield|Yields|Say|Says) (?:what|that)\b")
FOREIGN = frozenset(("forward",))  # named by torch


@dataclass
class NameCount:
    """Names of functions and classes, and where words that say nothing are used."""

    definitions: Counter[str] = field(default_factory=Counter)
    forbidden: list[str] = field(default_factory=list)
    phrases: list[str] = field(default_factory=list)

    @property
    def one_word(self) -> list[str]:
        """The names of one word, each as often as it is defined."""
        return [name for name in self.definitions.elements() if words_of(name) == 1]

    @property
    def share(self) -> float:
        """Share of the definitions whose name is one word."""
        return len(self.one_word) / max(self.definitions.total(), 1)


def words_of(name: str) -> int:
    """Return the number of words that a name is made of.

    >>> words_of("frame_cache"), words_of("ClipFacts"), words_of("_read"), words_of("URL")
    (2, 2, 1, 1)
    """
    parts = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name.strip("_")).split("_")
    return len([part for part in parts if part])


def count_names(paths: Iterable[Path]) -> NameCount:
    """Return the names that files define."""
    trees = {path: ast.parse(path.read_text(encoding="utf-8")) for path in paths}
    classes: dict[str, list[ast.ClassDef]] = defaultdict(list)
    for tree in trees.values():
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef):
                classes[node.name].append(node)
    count = NameCount()
    for path, tree in trees.items():
        where = path.relative_to(ROOT).as_posix() if path.is_relative_to(ROOT) else path.name
        inherited = {
            method
            for node in ast.walk(tree)
            if isinstance(node, ast.ClassDef)
            for method in node.body
            if isinstance(method, ast.FunctionDef)
            and method.name in FOREIGN | _contract_names(node, classes)
        }
        for node in ast.walk(tree):
            _add_node(count, node, where, by_contract=node in inherited)
    return count


def project_files() -> Iterator[Path]:
    """Yield the files of the three packages."""
    for package in PACKAGES:
        yield from sorted((ROOT / package).rglob("*.py"))


def _contract_names(
    node: ast.ClassDef, classes: dict[str, list[ast.ClassDef]], passed: frozenset[str] = frozenset()
) -> frozenset[str]:
    """Return the names of methods that the base classes of the project define."""
    names: set[str] = set()
    for base in node.bases:
        inner = base.value if isinstance(base, ast.Subscript) else base
        name = getattr(inner, "id", getattr(inner, "attr", ""))
        if name in passed:
            continue
        for parent in classes.get(name, []):
            names |= {method.name for method in parent.body if isinstance(method, ast.FunctionDef)}
            names |= _contract_names(parent, classes, passed | {node.name, name})
    return frozenset(names)


def _add_node(count: NameCount, node: ast.AST, where: str, *, by_contract: bool) -> None:
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        if not (node.name.startswith("__") or by_contract):
            count.definitions[node.name] += 1
        _check_name(count, node.name, node.lineno, where)
        first = (ast.get_docstring(node) or "").partition("\n\n")[0]
        if EMPTY_PHRASE.search(first):
            count.phrases.append(f"{where}:{node.lineno}: {node.name}: {first}")
    elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
        _check_name(count, node.id, node.lineno, where)
    elif isinstance(node, ast.arg):
        _check_name(count, node.arg, node.lineno, where)


def _check_name(count: NameCount, name: str, line: int, where: str) -> None:
    if name.strip("_").lower() in FORBIDDEN:
        count.forbidden.append(f"{where}:{line}: {name}")


def main() -> int:
    """Print the counts; with ``--list`` also the names."""
    count = count_names(project_files())
    print(f"{count.definitions.total()} functions and classes, {count.share:.1%} of one word")
    print(f"{len(count.forbidden)} names that say nothing, {len(count.phrases)} empty phrases")
    if "--list" in sys.argv:
        for name, times in Counter(count.one_word).most_common():
            print(f"{times:4} {name}")
        print("\n".join([*count.forbidden, *count.phrases]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
