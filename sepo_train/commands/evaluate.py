"""`sepo evaluate`: a model on held-out pairs and prompts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from sepo_data.commands.grouped_help import EVALUATION, INPUT, MODELS, OUTPUT
from sepo_data.commands.options import (
    AsJson,
    ChatTemplate,
    InheritedLength,
    InheritedTruncate,
    NoProgress,
    NoVerify,
    Quiet,
    TemplateDate,
    Yes,
    argument,
    number,
    option,
    parse_local_folder,
    parse_not_negative,
)
from sepo_data.commands.reading_options import reads_preferences
from sepo_data.commands.session import confirm_overwrite, session
from sepo_data.console.output import print_json, print_lines
from sepo_train.commands.model_options import ModelDtype, TrustRemoteCode

if TYPE_CHECKING:
    from sepo_data.preferences.reading import Reading

EXAMPLES = (
    "sepo evaluate policy/ --against ref/ --data selection/",
    "sepo evaluate policy/ --against ref/ --data user/dataset --split test --json",
    "sepo evaluate policy/ --against ref/ --data selection/ --generate questions.jsonl --out answers/",
    "sepo evaluate policy/ --against ref/ --data selection/ --generate p.jsonl --judge reward-model/ --out judged/",
)

AFTER_INTERRUPT = "the same command starts over, and needs --overwrite when --out holds answers by now"


@reads_preferences
def run(
    reading: Reading,
    model: Annotated[str, argument("MODEL", help="the model: a folder, a Hub id or a .gguf file")],
    dataset: Annotated[  # noqa: ARG001 - a part of `reading`
        list[str] | None,
        option(INPUT, "--data", metavar="DATASET", help="held-out pairs: rewards, a selection, or any preference data"),
    ] = None,
    against: Annotated[
        str | None,
        option(MODELS, metavar="MODEL", help="the model to compare with, such as the one that training started from"),
    ] = None,
    generate: Annotated[
        str | None, option(EVALUATION, metavar="PROMPTS", help="generate answers to these prompts, into --out")
    ] = None,
    judge: Annotated[
        str | None,
        option(EVALUATION, metavar="JUDGE", help="a reward model, or FILE.py:FUNCTION: the win rate on --generate"),
    ] = None,
    out: Annotated[
        Path | None, option(OUTPUT, "--out", parser=parse_local_folder, metavar="PATH", help="directory to write")
    ] = None,
    kl_samples: Annotated[
        int, option(EVALUATION, min=0, help="answers that are sampled to estimate the KL divergence")
    ] = 64,
    max_new_tokens: Annotated[int, option(EVALUATION, min=1, help="tokens of an answer at most")] = 256,
    temperature: Annotated[
        float, number(EVALUATION, parser=parse_not_negative, help="sampling temperature of --generate; 0 is greedy")
    ] = 0.0,
    seed: Annotated[int, option(EVALUATION, min=0, help="random seed: samples, bootstrap, --shuffle")] = 0,
    max_length: InheritedLength = None,
    truncate: InheritedTruncate = None,
    dtype: ModelDtype = None,
    trust_remote_code: TrustRemoteCode = False,
    chat_template: ChatTemplate = None,
    template_date: TemplateDate = None,
    overwrite: Annotated[bool, option(OUTPUT, "--overwrite", help="replace another evaluation in --out")] = False,
    yes: Yes = False,
    no_verify: NoVerify = False,
    json: AsJson = False,
    quiet: Quiet = False,
    no_progress: NoProgress = False,
) -> None:
    """Measure a model on held-out pairs, by itself or against another one.

    Reports accuracy and margin on the pairs, the KL divergence of the two models, and lengths; with --generate their
    answers, for AlpacaEval and MT-Bench, and with --judge the win rate.
    """
    if out is not None:
        confirm_overwrite(out, overwrite=overwrite, yes=yes)
    with session(quiet=quiet, no_progress=no_progress, after_interrupt=AFTER_INTERRUPT) as terminal:
        from sepo_data.storage.hub import reach_model

        for name in filter(None, (model, against)):
            reach_model(name)
        from sepo_train.engine.generate import Generation
        from sepo_train.evaluation.evaluate import evaluate
        from sepo_train.evaluation.report import evaluation_lines

        found = evaluate(
            model,
            reading,
            against=against,
            generate_from=generate,
            judge=judge,
            out=out,
            kl_samples=kl_samples,
            generation=Generation(max_new_tokens, temperature, seed),
            dtype=dtype,
            max_length=max_length,
            truncate=truncate,
            chat_template=chat_template,
            template_date=template_date,
            overwrite=overwrite,
            verify=not no_verify,
            trust_remote_code=trust_remote_code,
            progress=terminal,
        )
    if json:
        print_json(found)
    else:
        print_lines(evaluation_lines(found))
