"""Registry of the dataset shapes: each function registers itself where it stands, in any module of this folder."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING

from sepo_data.registry import Registry
from sepo_data.shapes.columns import ROLES
from sepo_data.shapes.value_types import TYPES

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
        place: orders the shapes of a module, by place in the file.
    """

    name: str
    tier: int
    meaning: str
    example: Row
    find: Finder
    roles: Mapping[str, tuple[str, ...]]
    place: int

    @property
    def module(self) -> str:
        return self.find.__module__


SHAPES: Registry[ShapeEntry] = Registry("sepo_data.shapes", order=lambda entry: (entry.tier, entry.module, entry.place))
"""Every shape by name, in the order in which they are tried: by tier, by module, then by place in the file."""


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
        ValueError: another module has registered this name or a role with other kinds, or a type is unknown.
    """
    number = next(_places)  # here, not below: decorators that are stacked are called from the first to the last

    own = dict(roles or {})

    def register(find: Finder) -> Finder:
        for role, kinds in own.items():
            if unknown := [kind for kind in kinds if kind not in TYPES]:
                raise ValueError(
                    f"{find.__module__} gives the role {role!r} the type {unknown[0]!r}; known: {', '.join(TYPES)}"
                )
            if ROLES.get(role, kinds) != kinds:
                raise ValueError(f"{find.__module__} registers the role {role!r} with other kinds: {ROLES[role]}")
        SHAPES.add(ShapeEntry(name, tier, meaning, example, find, own, number))
        ROLES.update(own)
        return find

    return register


def registered_shapes() -> list[ShapeEntry]:
    """All shapes of this folder, in the order in which they are tried."""
    return list(SHAPES.values())
