"""Registry of the dataset shapes: each function registers itself where it stands, in any module of this folder."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from itertools import count
from pkgutil import iter_modules
from typing import TYPE_CHECKING

import sepo_data.shapes as folder
from sepo_data.shapes.columns import ROLES

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sepo_data.shapes.columns import Columns
    from sepo_data.shapes.record import Row
    from sepo_data.shapes.shape import Shape

    Finder = Callable[[Columns], list[Shape]]

_places = count()


@dataclass(frozen=True)
class ShapeEntry:
    """A registered shape.

    Attributes:
        name: of the shape, in messages, in manifests and in docs/datasets.md.
        tier: shapes of one tier are rivals; a tier is tried only if no shape of an earlier one fits.
        meaning: a paragraph for docs/datasets.md; may be empty.
        example: a row, shown in docs/datasets.md and read by the property tests.
        find: gives every way in which the columns of a dataset fit; may be the function of several shapes.
        roles: roles of this shape alone, each with the types that it takes; datasets without them are passed over.
        place: orders the shapes of a tier: by module, then by place in the file.
    """

    name: str
    tier: int
    meaning: str
    example: Row
    find: Finder
    roles: Mapping[str, tuple[str, ...]]
    place: tuple[str, int]


SHAPES: dict[str, ShapeEntry] = {}
"""The shapes of the modules that are imported, by name; `registered_shapes` imports all of them."""


def shape(
    name: str, *, tier: int, example: Row, meaning: str = "", roles: Mapping[str, tuple[str, ...]] | None = None
) -> Callable[[Finder], Finder]:
    """Register a function that finds the shape `name` in the columns of a dataset.

    Args:
        name: of the shape.
        tier: 1: the responses are strings or dialogues with a prompt column of their own; 2: a prompt of any kind and
            two responses; 3: ranks and votes; 4: the prompt is inside both responses; 5: token ids.
        example: one row, as a dataset holds it.
        meaning: a paragraph for the documentation.
        roles: roles of this shape alone, each with the types of values that it takes, as `sepo_data.shapes.columns` has
            them; `find` is called only for datasets with all of them.

    Raises:
        ValueError: another function has registered this name, or a role with other kinds.
    """
    number = next(_places)  # here, not below: decorators that are stacked are called from the first to the last

    own = dict(roles or {})

    def register(find: Finder) -> Finder:
        known = SHAPES.get(name)
        if known is not None and known.place[0] != find.__module__:
            raise ValueError(f"{find.__module__} registers the shape {name!r}, as {known.place[0]} does")
        for role, kinds in own.items():
            if ROLES.setdefault(role, kinds) != kinds:
                raise ValueError(f"{find.__module__} registers the role {role!r} with other kinds: {ROLES[role]}")
        SHAPES[name] = ShapeEntry(name, tier, meaning, example, find, own, (find.__module__, number))
        return find

    return register


def registered_shapes() -> list[ShapeEntry]:
    """All shapes of this folder, in the order in which they are tried."""
    for module in iter_modules(folder.__path__, f"{folder.__name__}."):
        import_module(module.name)
    return sorted(SHAPES.values(), key=lambda entry: (entry.tier, entry.place))
