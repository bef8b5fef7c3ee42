"""`sepo train`: a policy on the selected tokens."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated

import typer

from sepo_data.commands.grouped_help import INPUT, MODELS, OUTPUT, RUN
from sepo_data.commands.options import (
    AsJson,
    Limit,
    NoProgress,
    NoVerify,
    Out,
    Overwrite,
    Quiet,
    Yes,
    argument,
    option,
    parse_holdout_size,
    parse_stage_folder,
)
from sepo_data.commands.session import print_answer
from sepo_data.preferences.holdout import HoldoutSize
from sepo_train.commands.loss_options import ChosenLoss, loss_rows, takes_loss
from sepo_train.commands.training_options import Resume, training_session, trains
from sepo_train.commands.typed_command import typed_options

if TYPE_CHECKING:
    from sepo_train.training.settings import Training

EXAMPLES = (
    "sepo train selection/ --policy HuggingFaceTB/SmolLM2-135M-Instruct --holdout 20% --out policy/",
    "sepo train selection/ --policy big-model/ --lora-r 16 --lr 1e-5 --gradient-checkpointing --out policy/",
)

SECTIONS = {"Losses": loss_rows}


@trains
@takes_loss
def run(
    selection: Annotated[
        Path, argument("SELECTION", parser=parse_stage_folder, help="a directory that `sepo select` wrote")
    ],
    training: Training,
    loss: ChosenLoss,
    policy: Annotated[
        str, option(MODELS, metavar="MODEL", help="the model to train: a folder, a Hub id or a .gguf file")
    ],
    out: Out,
    holdout: Annotated[
        HoldoutSize,
        option(
            INPUT,
            parser=parse_holdout_size,
            metavar="SHARE|N",
            help="share of the prompts, or about this number of pairs, to keep for evaluation; complete prompts only",
        ),
    ] = "0",  # type: ignore[assignment]
    eval_steps: Annotated[
        int, option(RUN, min=0, help="optimizer steps between evaluations on the holdout; 0 for none")
    ] = 0,
    limit: Limit = None,
    resume: Resume = False,
    push: Annotated[
        str | None, option(OUTPUT, metavar="USER/NAME", help="upload the result to this Hub repository")
    ] = None,
    public: Annotated[bool, option(OUTPUT, "--public", help="make the repository of --push public")] = False,
    overwrite: Overwrite = False,
    yes: Yes = False,
    no_verify: NoVerify = False,
    json: AsJson = False,
    quiet: Quiet = False,
    no_progress: NoProgress = False,
) -> None:
    """Train a policy on the selected tokens alone.

    No reference model takes part, unless the loss compares with one. The result is a plain transformers checkpoint,
    with the metrics of every step and their curve beside it.
    """
    with training_session(out, overwrite=overwrite, resume=resume, yes=yes, quiet=quiet, no_progress=no_progress) as (
        terminal,
        first,
    ):
        from sepo_data.publishing.upload import check_upload
        from sepo_data.storage.hub import reach_model

        reach_model(policy)
        from sepo_train.publishing.push import push as push_to_hub
        from sepo_train.training.objectives import objective
        from sepo_train.training.policy import train

        if public and push is None:
            raise typer.BadParameter("nothing is uploaded without --push USER/NAME", param_hint="--public")
        if push is not None:
            check_upload(push)
        manifest = train(
            selection,
            out,
            policy=policy,
            training=replace(training, eval_steps=eval_steps),
            objective=objective(loss.name, **loss.parameters),
            ref_logps=loss.ref_logps,
            holdout=holdout.option,
            limit=limit,
            overwrite=overwrite,
            resume=resume,
            verify=not no_verify,
            progress=terminal,
        )
        if push is not None and first:
            terminal.note(f"pushed to {push_to_hub(out, push, private=not public, progress=terminal)}")
        trust = ", trust_remote_code=True" if training.trust_remote_code else ""
        load = f"AutoModelForCausalLM.from_pretrained({str(out)!r}{trust})"
        if training.lora_r and not training.merge_lora:
            base = f"AutoModelForCausalLM.from_pretrained({policy!r}{trust})"
            load = f"PeftModel.from_pretrained({base}, {str(out)!r})"
        terminal.note(f"next: load it with {load}")
        if "eval" in manifest.results:
            compared = typed_options(against=policy, data=selection, trust_remote_code=training.trust_remote_code)
            terminal.note(f"next: sepo evaluate {quote(str(out))} {compared}")
    if first:
        print_answer(out, manifest, as_json=json)
