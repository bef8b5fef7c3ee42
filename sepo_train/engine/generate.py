"""Generate answers to prompts in batches: token ids in, token ids out."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from itertools import groupby
from typing import TYPE_CHECKING, Any

import torch
from accelerate.utils.memory import clear_device_cache
from transformers import GenerationConfig

from sepo_data.checked import at_least, check_fields
from sepo_data.console.progress import SILENT, Progress
from sepo_data.errors import SepoError
from sepo_train.engine.layout import batches_by_tokens
from sepo_train.engine.layout_check import change_size, tolerance
from sepo_train.engine.logps import default_batch_tokens
from sepo_train.models.device import is_out_of_memory
from sepo_train.models.files import context_length, library_errors

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor
    from transformers import PreTrainedModel

_ANSWERS = "leave out what needs them: --holdout in training, prompts in an evaluation"

BATCH_FACTOR = 8
"""A batch of generation has so many times the tokens of a forward pass: each step feeds one token a row."""


@dataclass(frozen=True, slots=True)
class Generation:
    """Settings of generation.

    Attributes:
        max_new_tokens: most tokens of an answer.
        temperature: 0 takes the most probable token each time.
        seed: of sampling; the same prompts in the same order give the same answers.
    """

    max_new_tokens: int = 256
    temperature: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        check_fields(self, max_new_tokens=at_least(1), temperature=at_least(0), seed=at_least(0))


def generate(
    model: PreTrainedModel,
    prompts: Sequence[Sequence[int]],
    generation: Generation,
    eos_ids: Sequence[int],
    *,
    label: str = "answers",
    progress: Progress = SILENT,
) -> list[list[int]]:
    """Generate an answer to each of `prompts`, in their order.

    Nothing but the temperature shapes the distribution: top-k, top-p and penalties in the model's own generation_config
    are not applied, so that samples at temperature 1 are samples of the model. Rows of several lengths are padded on
    the left if a test shows that this changes nothing; otherwise each runs alone.

    Args:
        model: in evaluation mode.
        prompts: token ids of each.
        generation: length of answers, temperature and seed. An answer also ends where the model's context does.
        eos_ids: an answer ends with the first of these; see `end_ids`.
        label: shown by `progress` with each batch.
        progress: receives the number of finished answers.

    Returns:
        Token ids of each answer, the one that ended it included; empty if the prompt fills the context.
    """
    context = context_length(model.config)
    most = generation.max_new_tokens
    rooms = [most if context is None else min(most, context - len(prompt)) for prompt in prompts]
    answers: list[list[int]] = [[] for _ in prompts]
    able = [index for index, room in enumerate(rooms) if room > 0]
    generating = partial(library_errors, f"a {type(model).__name__} cannot generate answers", _ANSWERS)
    with generating():
        padded = _is_padded_exactly(model, [prompts[index] for index in able])
    done = 0
    with torch.random.fork_rng(devices=[] if model.device.type == "cpu" else [model.device]):
        torch.manual_seed(generation.seed)
        for room, same_room in groupby(sorted(able, key=rooms.__getitem__, reverse=True), key=rooms.__getitem__):
            group = list(same_room)
            lengths = [len(prompts[index]) + room for index in group]
            waiting = batches_by_tokens(lengths, BATCH_FACTOR * default_batch_tokens() if padded else 1)
            while waiting:
                batch = [group[place] for place in waiting[0]]
                config = _config(room, generation.temperature, eos_ids)
                with generating():
                    found = _batch(model, [prompts[index] for index in batch], config)
                if found is None:
                    half = len(batch) // 2
                    waiting[:1] = [waiting[0][:half], waiting[0][half:]]
                    continue
                for index, answer in zip(batch, found, strict=True):
                    answers[index] = answer
                del waiting[0]
                done += len(batch)
                progress.step(done, len(able), label)
    return answers


def end_ids(model: PreTrainedModel, eos_token_id: int | None) -> list[int]:
    """The tokens that end an answer: the tokenizer's `eos_token_id`, and those in the model's generation_config.

    Without those that the model has no embedding of: it never gives them, and cannot be fed them as padding.
    """
    own = model.generation_config.eos_token_id if model.generation_config else None
    listed = own if isinstance(own, list) else [own]
    known = range(model.config.get_text_config().vocab_size)
    return sorted({token for token in (eos_token_id, *listed) if isinstance(token, int) and token in known})


def _config(room: int, temperature: float, eos_ids: Sequence[int]) -> GenerationConfig:
    sampling = {"temperature": temperature, "top_k": 0, "top_p": 1.0} if temperature else {}
    # The tokens of a row after its end are cut off below, so any id may fill it.
    fill = eos_ids[0] if eos_ids else 0
    return GenerationConfig(
        do_sample=temperature > 0,
        max_new_tokens=room,
        eos_token_id=list(eos_ids) or None,
        pad_token_id=fill,
        return_dict_in_generate=True,
        **sampling,
    )


def _batch(
    model: PreTrainedModel, prompts: Sequence[Sequence[int]], config: GenerationConfig
) -> list[list[int]] | None:
    """Answers to a batch of prompts; None if several of them do not fit into memory together."""
    try:
        rows = _generated(model, prompts, config).sequences
    except (RuntimeError, MemoryError) as error:
        if "probability tensor contains" in str(error):
            raise SepoError(
                "the model's probabilities are not finite, so that nothing can be sampled",
                "its weights are broken, or need --dtype float32",
            ) from error
        if not is_out_of_memory(error):
            raise
        clear_device_cache(garbage_collection=True)
        if len(prompts) == 1:
            raise SepoError(
                f"an answer to a prompt of {len(prompts[0])} tokens does not fit into memory",
                "lower --max-new-tokens, or use a smaller --dtype",
            ) from error
        return None
    ends = set(config.eos_token_id or [])
    return [_until_end(row, ends) for row in rows[:, max(map(len, prompts)) :].tolist()]


@torch.inference_mode()
def _generated(model: PreTrainedModel, prompts: Sequence[Sequence[int]], config: GenerationConfig) -> Any:  # noqa: ANN401 - what generate returns depends on its options
    """Run `model.generate` on prompts that are padded on the left."""
    longest = max(map(len, prompts))
    ids = torch.tensor([[0] * (longest - len(prompt)) + list(prompt) for prompt in prompts], device=model.device)
    mask = torch.tensor([[0] * (longest - len(prompt)) + [1] * len(prompt) for prompt in prompts], device=model.device)
    generating: Any = model
    # Fields that `config` leaves open would come from the model's own; peft passes its own to the model that it wraps.
    bare: Any = generating.get_base_model() if hasattr(generating, "get_base_model") else model
    own, bare.generation_config = bare.generation_config, GenerationConfig()
    try:
        return generating.generate(ids, attention_mask=mask, generation_config=config)
    finally:
        bare.generation_config = own


def _until_end(ids: list[int], ends: set[int]) -> list[int]:
    """`ids` up to the first of `ends`, that one included."""
    return next((ids[: place + 1] for place, token in enumerate(ids) if token in ends), ids)


def _is_padded_exactly(model: PreTrainedModel, prompts: Sequence[Sequence[int]]) -> bool:
    """True if the shortest prompt, padded to the length of the longest, is followed by the same tokens as alone."""
    if not prompts:
        return True
    shortest, longest = min(prompts, key=len), max(prompts, key=len)
    if len(shortest) == len(longest):
        return True
    padded = _next_logps(model, [shortest, longest])[0]
    change = (padded - _next_logps(model, [shortest])[0]).abs()
    return change_size(model, change) <= tolerance(model)


def _next_logps(model: PreTrainedModel, prompts: Sequence[Sequence[int]]) -> Tensor:
    """(prompts, vocabulary) log-probabilities of the first token after each prompt, as generation computes them."""
    config = GenerationConfig(
        do_sample=False, max_new_tokens=1, output_logits=True, return_dict_in_generate=True, pad_token_id=0
    )
    return _generated(model, prompts, config).logits[0].float().log_softmax(dim=-1).cpu()
