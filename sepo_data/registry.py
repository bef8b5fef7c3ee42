"""Registries: entries that the files of a folder register where they stand, found by importing every file once."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, ItemsView, Iterator, Mapping, ValuesView
from typing import Any, Generic, Protocol, TypeVar


class Entry(Protocol):
    """An entry of a registry, defined in one module."""

    @property
    def name(self) -> str: ...

    @property
    def module(self) -> str: ...


E = TypeVar("E", bound=Entry)


class Registry(Mapping[str, E], Generic[E]):
    """The entries by name, in ascending order of the key `order`; those of equal keys as they were registered.

    Each look-up imports the modules of `package` that are not imported yet, so that a new file needs no second edit.
    Entries of modules that have left the folder are absent.
    """

    def __init__(self, package: str, *, order: Callable[[E], Any]) -> None:
        self._package, self._order = package, order
        self._entries: dict[str, E] = {}

    def add(self, entry: E) -> None:
        """Register `entry`.

        Raises:
            ValueError: another module has registered its name.
        """
        other = self._entries.get(entry.name)
        if other is not None and other.module != entry.module and other.module in self._modules():
            raise ValueError(f"{entry.name} is registered in {other.module} and in {entry.module}")
        self._entries[entry.name] = entry

    def _modules(self) -> set[str]:
        package = importlib.import_module(self._package)
        return {f"{self._package}.{module.name}" for module in pkgutil.iter_modules(package.__path__)}

    def _found(self) -> dict[str, E]:
        modules = self._modules()
        for module in sorted(modules):
            importlib.import_module(module)
        found = [entry for entry in self._entries.values() if entry.module in modules]
        return {entry.name: entry for entry in sorted(found, key=self._order)}

    def __getitem__(self, name: str) -> E:
        return self._found()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._found())

    def __len__(self) -> int:
        return len(self._found())

    def values(self) -> ValuesView[E]:
        """The entries, of one look at the folder."""
        return self._found().values()

    def items(self) -> ItemsView[str, E]:
        """The names and entries, of one look at the folder."""
        return self._found().items()
