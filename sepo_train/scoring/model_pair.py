"""The oracle and the reference model of a scoring run: which of them is in memory, and in which order they are used."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, TypeVar

import torch
from accelerate.utils.memory import clear_device_cache

from sepo_data.console.progress import SILENT, Progress
from sepo_train.models.files import adapter_base
from sepo_train.models.load import load_model, model_record
from sepo_train.scoring.model_comparison import plain_logps

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from transformers import PreTrainedModel

    from sepo_train.engine.layout import Tree
    from sepo_train.models.device import Dtype
    from sepo_train.scoring.options import ModelsInMemory

Role = Literal["oracle", "ref"]
T = TypeVar("T")

ADAPTER_TEST_ORDER: tuple[Role, Role] = ("ref", "oracle")
"""The order in which an adapter is tested: first off, then on again."""


@dataclass
class ModelPair:
    """The two models, loaded when they are used.

    Attributes:
        oracle: name of the oracle.
        ref: name of the reference model.
        dtype: of both.
        models_in_memory: 1 releases a model before it loads the other, 2 keeps both.
        trust_remote_code: run the code that comes with them.
        adapter: whether one set of weights serves both, with the oracle's adapter on and off; see `check_adapter`.
        progress: receives notes of what was found in their files.
    """

    oracle: str
    ref: str
    dtype: Dtype
    models_in_memory: ModelsInMemory = 1
    trust_remote_code: bool = False
    adapter: bool = False
    progress: Progress = SILENT
    _loaded: dict[Role, PreTrainedModel] = field(default_factory=dict)

    @property
    def names(self) -> str:
        """Both models and their dtype, for messages."""
        return f"{self.oracle} and {self.ref} in {self.dtype}"

    def in_turn(self) -> Iterator[PreTrainedModel]:
        """Both models, in the order of `roles`. A variable that holds the first one keeps it in memory."""
        for role in self.roles():
            yield self._model(role)

    def each(self, use: Callable[[PreTrainedModel], T]) -> dict[str, T]:
        """The results of `use` for each model, by role; a function's variables are gone when the next model loads."""
        return dict(zip(self.roles(), map(use, self.in_turn()), strict=True))

    def roles(self) -> tuple[Role, Role]:
        """The role that is in memory comes first: with shard after shard, one model is loaded a shard, not two."""
        return ("ref", "oracle") if list(self._loaded) == ["ref"] else ("oracle", "ref")

    def _model(self, role: Role) -> PreTrainedModel:
        if self.adapter:
            if "oracle" not in self._loaded:
                self._loaded["oracle"] = self._load(self.oracle)
            model = self._loaded["oracle"]
            if role == "oracle":
                model.enable_adapters()
            else:
                model.disable_adapters()
            return model
        if role not in self._loaded:
            if self.models_in_memory == 1:
                self.release()
            self._loaded[role] = self._load(getattr(self, role))
        return self._loaded[role]

    def _load(self, name: str) -> PreTrainedModel:
        return load_model(name, dtype=self.dtype, trust_remote_code=self.trust_remote_code, progress=self.progress)

    def release(self) -> None:
        """Release the models in memory."""
        self._loaded.clear()
        clear_device_cache(garbage_collection=True)

    def check_adapter(self, trees: Sequence[Tree]) -> bool:
        """True if the oracle is an adapter on the reference model that can be switched off and on without a trace.

        Off, it has to be the reference model, to the last bit, and on again what it was. An adapter that trains biases,
        embeddings or the head, or that changed the weights under it, is not; then the two are loaded as two models.

        Args:
            trees: a few, on which the adapter is tested.
        """
        self.adapter = False
        base = adapter_base(self.oracle)
        if base is None:
            return False
        first, second = (model_record(name, trust_remote_code=self.trust_remote_code) for name in (base, self.ref))
        if first.weights != second.weights:
            return False
        self.release()
        expected = [plain_logps(self._model("ref"), trees)]
        self.release()
        expected.append(plain_logps(self._model("oracle"), trees))
        self.adapter = True
        switched = [plain_logps(self._model(role), trees) for role in ADAPTER_TEST_ORDER]
        if not torch.equal(torch.stack(expected), torch.stack(switched)):
            self.release()
            self.adapter = False
        return self.adapter
