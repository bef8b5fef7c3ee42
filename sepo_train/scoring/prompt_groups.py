"""Group pairs by prompt, so that a prompt or a response that several pairs share is computed once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sepo_train.engine.layout import Tree

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sepo_data.tokenization.tokenize import TokenizedPair

    Place = tuple[int, int]


def prompt_groups(pairs: Sequence[TokenizedPair], max_tokens: int) -> tuple[list[Tree], list[tuple[Place, Place]]]:
    """Make one tree for each prompt with its distinct responses.

    Ranked data has several pairs of one prompt, and each response occurs in many of them.

    Args:
        pairs: those that are scored together.
        max_tokens: length of a row beyond which further responses of a prompt start another row.

    Returns:
        The trees in the order in which their prompts first occur, and for each pair the (tree, branch) of its chosen
        and of its rejected response.
    """
    prompts: list[list[int]] = []
    branches: list[list[list[int]]] = []
    lengths: list[int] = []
    open_rows: dict[tuple[int, ...], int] = {}
    places: dict[tuple[tuple[int, ...], tuple[int, ...]], Place] = {}

    def place(prompt_ids: list[int], ids: list[int]) -> Place:
        prompt = tuple(prompt_ids)
        key = prompt, tuple(ids)
        if key in places:
            return places[key]
        row = open_rows.get(prompt)
        if row is None or lengths[row] + len(ids) > max_tokens:
            row = open_rows[prompt] = len(prompts)
            prompts.append(prompt_ids)
            branches.append([])
            lengths.append(len(prompt_ids))
        branches[row].append(ids)
        lengths[row] += len(ids)
        places[key] = row, len(branches[row]) - 1
        return places[key]

    found = [(place(item.prompt_ids, item.chosen_ids), place(item.prompt_ids, item.rejected_ids)) for item in pairs]
    return [Tree(prompt, tuple(ids)) for prompt, ids in zip(prompts, branches, strict=True)], found
