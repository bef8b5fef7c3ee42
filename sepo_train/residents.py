"""The oracle and the reference model of a scoring run, and which of them are in memory."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import torch
from accelerate.utils.memory import clear_device_cache

from sepo_train.engine import PLAIN
from sepo_train.logps import score_trees
from sepo_train.models import adapter_base, load_model, model_record

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from transformers import PreTrainedModel

    from sepo_train.layout import Tree

Resident = Literal["one", "both"]
Role = Literal["oracle", "ref"]


@dataclass
class Residents:
    """The two models, loaded when they are wanted.

    Attributes:
        oracle: name of the oracle.
        ref: name of the reference model.
        dtype: of both.
        resident: whether memory holds one of them at a time, or both.
        adapter: whether one set of weights serves both, with the oracle's adapter on and off; see `check_adapter`.
    """

    oracle: str
    ref: str
    dtype: str
    resident: Resident = "one"
    adapter: bool = False
    _loaded: dict[Role, PreTrainedModel] = field(default_factory=dict)

    def each(self) -> Iterator[tuple[Role, PreTrainedModel]]:
        """Both models by role, the one that is in memory first.

        With one resident, taking turns shard after shard loads one model a shard, not two.
        """
        roles: tuple[Role, Role] = ("ref", "oracle") if list(self._loaded) == ["ref"] else ("oracle", "ref")
        for role in roles:
            yield role, self._model(role)

    def _model(self, role: Role) -> PreTrainedModel:
        if self.adapter:
            if "oracle" not in self._loaded:
                self._loaded["oracle"] = load_model(self.oracle, dtype=self.dtype)
            model = self._loaded["oracle"]
            if role == "oracle":
                model.enable_adapters()
            else:
                model.disable_adapters()
            return model
        if role not in self._loaded:
            if self.resident == "one":
                self.release()
            self._loaded[role] = load_model(getattr(self, role), dtype=self.dtype)
        return self._loaded[role]

    def release(self) -> None:
        """Let go of what is in memory."""
        self._loaded.clear()
        clear_device_cache(garbage_collection=True)

    def check_adapter(self, trees: Sequence[Tree]) -> bool:
        """Whether the oracle is an adapter on the reference model, and switched off is that model, to the last bit.

        An adapter that trains biases or embeddings, or that changed the weights under it, is not. Where the answer is
        no, the two are loaded as the models of their own that they are.

        Args:
            trees: a few, on which the switched-off adapter and the reference model have to agree.
        """
        self.adapter = False
        base = adapter_base(self.oracle)
        if base is None or model_record(base).weights != model_record(self.ref).weights:
            return False
        self.release()
        expected = score_trees(self._model("ref"), trees, PLAIN, batch_tokens=1)
        self.release()
        self.adapter = True
        found = score_trees(self._model("ref"), trees, PLAIN, batch_tokens=1)
        equal = all(
            torch.equal(one, other)
            for ours, theirs in zip(found, expected, strict=True)
            for one, other in zip(ours, theirs, strict=True)
        )
        if not equal:
            self.release()
            self.adapter = False
        return self.adapter
