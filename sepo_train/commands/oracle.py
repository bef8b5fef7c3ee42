"""`sepo oracle`: train the oracle with DPO."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from sepo_data.commands.grouped_help import INPUT, MODELS, TRAINING
from sepo_data.commands.options import (
    AsJson,
    ChatTemplate,
    MaxLength,
    NoProgress,
    OnBadRows,
    Out,
    Overwrite,
    Quiet,
    TemplateDate,
    TruncateAt,
    Yes,
    number,
    option,
    parse_share,
)
from sepo_data.commands.reading_options import reads_preferences, typed_reading
from sepo_data.commands.session import note_skipped, print_answer
from sepo_train.commands.training_options import Resume, Seed, training_session, trains
from sepo_train.commands.typed_command import typed_options

if TYPE_CHECKING:
    from sepo_data.preferences.reading import Reading
    from sepo_train.training.settings import Training

EXAMPLES = (
    "sepo oracle prefs.jsonl --ref HuggingFaceTB/SmolLM2-135M-Instruct --fraction 30% --out oracle/",
    "sepo oracle user/dataset --split train --ref ref/ --lora-r 16 --lr 1e-5 --save-steps 100 --out oracle/",
    "sepo oracle --mix a.jsonl=0.7 user/dataset=0.3 --holdout 2000 --ref ref/ --out oracle/",
)


@trains
@reads_preferences
def run(
    reading: Reading,
    training: Training,
    ref: Annotated[
        str,
        option(MODELS, metavar="MODEL", help="the reference model to start from: a folder, a Hub id or a .gguf file"),
    ],
    out: Out,
    fraction: Annotated[
        str, option(INPUT, parser=parse_share, metavar="SHARE", help="random share of the rows to train on")
    ] = "100%",
    seed: Seed = 0,  # noqa: ARG001 - declared here for its help; reading and training share it
    beta: Annotated[
        float, number(TRAINING, help="strength of DPO's penalty on the divergence from the reference")
    ] = 0.1,
    on_bad_row: OnBadRows = "skip",
    max_length: MaxLength = None,
    truncate: TruncateAt = None,
    chat_template: ChatTemplate = None,
    template_date: TemplateDate = None,
    resume: Resume = False,
    overwrite: Overwrite = False,
    yes: Yes = False,
    json: AsJson = False,
    quiet: Quiet = False,
    no_progress: NoProgress = False,
) -> None:
    """Train the oracle with DPO on a random part of the data.

    It starts from the reference model. The result is a plain transformers checkpoint; seen_pairs.jsonl beside it
    records the pairs it was trained on.
    """
    with training_session(out, overwrite=overwrite, resume=resume, yes=yes, quiet=quiet, no_progress=no_progress) as (
        terminal,
        first,
    ):
        from sepo_data.storage.hub import reach_model

        reach_model(ref)
        from sepo_train.training.oracle import train_oracle

        manifest = train_oracle(
            reading,
            out,
            ref=ref,
            fraction=fraction,
            beta=beta,
            training=training,
            max_length=max_length,
            truncate=truncate,
            chat_template=chat_template,
            template_date=template_date,
            on_bad_row=on_bad_row,
            overwrite=overwrite,
            resume=resume,
            progress=terminal,
        )
        results: dict[str, Any] = manifest.results
        note_skipped(terminal, f"{results['pairs_seen']:,} pairs seen", results.get("skipped", {}), out)
        models = typed_options(oracle=out, ref=ref, trust_remote_code=training.trust_remote_code)
        terminal.note(f"next: sepo score {typed_reading(reading)} {models} --out rewards/")
    if first:
        print_answer(out, manifest, as_json=json)
