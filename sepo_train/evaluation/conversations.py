"""Answer prompts with a model, turn by turn: each turn follows the answers before it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sepo_data.console.progress import SILENT, Progress
from sepo_data.errors import SepoError
from sepo_data.tokenization.bounded_template import apply_template
from sepo_train.engine.generate import end_ids, generate
from sepo_train.evaluation.benchmarks import Answers

if TYPE_CHECKING:
    from collections.abc import Sequence

    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from sepo_train.engine.generate import Generation
    from sepo_train.evaluation.benchmarks import Prompt


def answer_prompts(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    prompts: Sequence[Prompt],
    generation: Generation,
    *,
    progress: Progress = SILENT,
) -> list[Answers]:
    """Answer `prompts` with `model` through its chat template, all first turns together, then all second ones.

    Raises:
        SepoError: a prompt is a conversation and the tokenizer has no chat template.
    """
    answers = [Answers() for _ in prompts]
    eos_ids = end_ids(model, tokenizer.eos_token_id)
    ends = [[token] for token in eos_ids]
    last = max(len(prompt.turns) for prompt in prompts)
    for turn in range(last):
        asked = [index for index, prompt in enumerate(prompts) if len(prompt.turns) > turn]
        ids = [prompt_ids(prompts[index], answers[index].turns, tokenizer) for index in asked]
        found = generate(
            model,
            ids,
            generation,
            eos_ids,
            label=f"turn {turn + 1} answered" if last > 1 else "answered",
            progress=progress,
        )
        for index, answer in zip(asked, found, strict=True):
            text = str(tokenizer.decode(answer, skip_special_tokens=True, clean_up_tokenization_spaces=False)).strip()
            before = answers[index]
            answers[index] = Answers(
                (*before.turns, text), (*before.tokens, len(answer)), (*before.ended, answer[-1:] in ends)
            )
    return answers


def prompt_ids(prompt: Prompt, answers: tuple[str, ...], tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """Token ids of the conversation up to the turn that follows `answers`.

    A base model, which has no chat template, gets the text of a prompt of one turn, as in training on plain strings.

    Raises:
        SepoError: there is no chat template for a conversation, or the template refuses it.
    """
    messages: Any = prompt.messages(answers)
    if tokenizer.chat_template is None:
        if len(prompt.turns) > 1 or prompt.system is not None:
            raise SepoError(
                f"row {prompt.row} of the prompts is a conversation, but {tokenizer.name_or_path} has no chat template",
                "give one with --chat-template FILE, or give only prompts of one turn",
            )
        ids: list[int] = list(tokenizer(prompt.turns[0])["input_ids"])
        return ids[:-1] if len(ids) > 1 and ids[-1] == tokenizer.eos_token_id else ids
    try:
        rendered = apply_template(tokenizer, messages, add_generation_prompt=True, tokenize=True, return_dict=False)
    except Exception as error:  # a template is a program of the model's author and may raise anything
        raise SepoError(
            f"the chat template of {tokenizer.name_or_path} refuses row {prompt.row} of the prompts: {error}",
            "leave the row out, or give another template with --chat-template FILE",
        ) from error
    return list(rendered)
