"""Judges that score answers: a local reward model, or a Python function."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import math
import re
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import torch
from transformers import AutoModelForSequenceClassification

from sepo_data.console.text import listed, shortened
from sepo_data.errors import SepoError
from sepo_data.tokenization.bounded_template import apply_template
from sepo_data.tokenization.template_date import set_template_date
from sepo_train.engine.layout import batches_by_tokens, padded
from sepo_train.engine.logps import default_batch_tokens
from sepo_train.models.device import default_dtype
from sepo_train.models.files import context_length, load_config
from sepo_train.models.load import load_complete
from sepo_train.models.tokenizers import load_tokenizer

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from sepo_data.shapes.pairs import Message

Judge: TypeAlias = "Callable[[Sequence[tuple[list[Message], str]]], list[float]]"
"""The scores of answers, each with the conversation that it answers; higher is better."""

HINT = "name a reward model, or a function of yours as FILE.py:FUNCTION"
_FUNCTION = re.compile(r"(?P<place>.+\.py|[A-Za-z_][\w.]*):(?P<name>[A-Za-z_]\w*)")


def open_judge(name: str, *, template_date: str | None = None, trust_remote_code: bool = False) -> Judge:
    """Open the judge `name` and check it, before anything is generated.

    `path/file.py:function` or `module:function` is a function of (prompt: str, answer: str) that returns a number; the
    prompt of an answer that comes later in a conversation is all that was said before, a paragraph a turn, each after
    the name of its role. Anything else is a sequence classifier of transformers' (a folder or a Hub id) with one logit,
    which is the score, or two labels, of which the second is the good one: the score is the lead of its logit. It reads
    the conversation through its own chat template, which takes `template_date` (YYYY-MM-DD) for today, or, where it has
    none, prompt and answer as a pair of texts.

    Raises:
        SepoError: there is no such function, or the model is not such a classifier.
    """
    if match := _FUNCTION.fullmatch(name):
        return partial(_call, _load_function(match["place"], match["name"]), name)
    config = load_config(name, causal=False, trust_remote_code=trust_remote_code)
    if not any("SequenceClassification" in architecture for architecture in config.architectures or []):
        raise SepoError(f"the judge {name} is no sequence classifier but {listed(config.architectures or ['?'])}", HINT)
    if config.num_labels not in {1, 2}:
        raise SepoError(
            f"the judge {name} has {config.num_labels} labels; a score is one logit, or the lead of one of two", HINT
        )
    return partial(_classify, name, template_date=template_date, trust_remote_code=trust_remote_code)


def transcript(messages: Sequence[Message]) -> str:
    """A conversation as text: the content of a lone turn, or a paragraph a turn."""
    if len(messages) == 1:
        return str(messages[0]["content"])
    return "\n\n".join(f"{message['role']}: {message['content']}" for message in messages)


def _load_function(place: str, name: str) -> Callable[[str, str], object]:
    try:
        if place.endswith(".py"):
            spec = importlib.util.spec_from_file_location(f"sepo_judge_{Path(place).stem}", place)
            if spec is None or spec.loader is None:
                raise ImportError(f"{place} is no Python file")  # noqa: TRY301 - reported as any other failure
            module = importlib.util.module_from_spec(spec)
            sys.modules[spec.name] = module  # dataclasses find their module there
            spec.loader.exec_module(module)
        else:
            module = importlib.import_module(place)
        function = getattr(module, name)
    except Exception as error:  # a module may raise anything while it is imported
        raise SepoError(
            f"cannot load the judge {place}:{name}: {type(error).__name__}: {error}",
            "give FILE.py:FUNCTION, or MODULE:FUNCTION of an installed module",
        ) from error
    if not callable(function):
        raise SepoError(f"the judge {place}:{name} is a {type(function).__name__}, not a function")
    return function


def _call(function: Callable[[str, str], object], name: str, items: Sequence[tuple[list[Message], str]]) -> list[float]:
    scores = []
    for messages, answer in items:
        prompt = transcript(messages)
        try:
            score = float(function(prompt, answer))  # type: ignore[arg-type]
        except Exception as error:  # a user's function may raise anything
            raise SepoError(
                f"the judge {name} raised {type(error).__name__} for the answer to {prompt[:60]!r}: {error}",
                "it is called with (prompt: str, answer: str) and returns a number",
            ) from error
        scores.append(_finite(score, name, prompt))
    return scores


@torch.inference_mode()
def _classify(
    name: str,
    items: Sequence[tuple[list[Message], str]],
    *,
    template_date: str | None = None,
    trust_remote_code: bool = False,
) -> list[float]:
    model, tokenizer = _load_classifier(name, trust_remote_code=trust_remote_code)
    set_template_date(tokenizer, template_date)
    encoded = [_encode(messages, answer, tokenizer) for messages, answer in items]
    lengths = [len(encoding["input_ids"]) for encoding in encoded]
    context = context_length(model.config)
    if context is not None and max(lengths) > context:
        raise SepoError(
            f"the judge {name} reads {context} tokens, but a conversation has {max(lengths)}",
            "lower --max-new-tokens, or name a judge with a longer context",
        )
    # A classifier on top of a decoder reads the last token that is not this one; without it, the last one of all.
    pad = model.config.get_text_config().pad_token_id
    accepted = inspect.signature(model.forward).parameters
    scores = [0.0] * len(items)
    for batch in batches_by_tokens(lengths, 1 if pad is None else default_batch_tokens()):
        rows = [encoded[index] for index in batch]
        inputs = {
            part: padded([row[part] for row in rows], fill).to(model.device)
            for part, fill in (("input_ids", pad or 0), ("attention_mask", 0), ("token_type_ids", 0))
            if part in accepted and part in rows[0]
        }
        logits = model(**inputs).logits.float().cpu()
        lead = logits[:, 0] if logits.shape[1] == 1 else logits[:, 1] - logits[:, 0]
        for index, score in zip(batch, lead.tolist(), strict=True):
            scores[index] = _finite(score, name, transcript(items[index][0]))
    return scores


def _load_classifier(name: str, *, trust_remote_code: bool) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    model = load_complete(
        name,
        AutoModelForSequenceClassification,
        dtype=default_dtype(),
        hint=HINT,
        trust_remote_code=trust_remote_code,
    )
    return model, load_tokenizer(name, trust_remote_code=trust_remote_code)


def _encode(messages: list[Message], answer: str, tokenizer: PreTrainedTokenizerBase) -> Mapping[str, list[int]]:
    if tokenizer.chat_template is None:
        return tokenizer(transcript(messages), answer, return_attention_mask=True)
    spoken: Any = [*messages, {"role": "assistant", "content": answer}]
    try:
        ids = list(apply_template(tokenizer, spoken, tokenize=True, return_dict=False))
    except Exception as error:  # a template is a program of the model's author and may raise anything
        raise SepoError(
            f"the chat template of the judge {tokenizer.name_or_path} refuses a conversation: {shortened(str(error))}",
            HINT,
        ) from error
    return {"input_ids": ids, "attention_mask": [1] * len(ids)}


def _finite(score: float, name: str, prompt: str) -> float:
    if not math.isfinite(score):
        raise SepoError(
            f"the judge {name} gave {score} for the answer to {prompt[:60]!r}", "a score is a finite number"
        )
    return score
