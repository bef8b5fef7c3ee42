"""The model card of a policy or an oracle: a README.md made of the manifests, and of nothing else."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from sepo_data.console.text import spelt_out
from sepo_data.publishing.citation import CITATION, METHOD, OBJECTIVES, PAPER
from sepo_data.publishing.markdown import as_code, as_python, as_text, as_value, table
from sepo_data.publishing.public_manifest import hub_datasets, public_manifest, without_folders
from sepo_data.publishing.upload import CARD
from sepo_data.schemas.stages import SIDES, Stage
from sepo_data.stages.lineage import read_ancestors
from sepo_data.storage.atomic import write_text
from sepo_train.models.files import ADAPTER
from sepo_train.publishing.curve import CURVE

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping
    from pathlib import Path

    from pydantic import JsonValue

    from sepo_data.schemas.manifest import Manifest, ModelRecord

MEASURES = {
    "loss": "loss",
    "rewards/chosen": "reward of the chosen response, selected tokens",
    "rewards/rejected": "reward of the rejected response, selected tokens",
    "rewards/margins": "reward margin, selected tokens",
    "rewards/accuracies": "chosen response preferred, by selected tokens (ties as half)",
    "logps/chosen": "log-probability of the chosen response, selected tokens (nats)",
    "logps/rejected": "log-probability of the rejected response, selected tokens (nats)",
    "all/margins": "margin, all tokens (nats a token)",
    "all/accuracies": "chosen response preferred, by all tokens (ties as half)",
    "kl": "KL divergence from the start (nats a token)",
    "length": "length of sampled answers (tokens, cut at 64)",
    "length_drift": "change of that length (tokens)",
}
"""The metrics of the holdout pairs, in words."""

ROUNDING = 1e-3
"""Of a mean reward that is 0: of log-probabilities that two passes of one model gave."""

RESULTS = {
    "pairs_seen": "pairs trained on",
    "pairs": "pairs trained on",
    "first_loss": "loss of the first batch, before any update",
    "last_loss": "loss of the last batch",
}
"""The numbers of a run, in words. Others are left out: of one batch an accuracy is no measurement of a model."""


def write_model_card(out: Path, manifest: Manifest) -> None:
    """Write the README.md of `out`, a run whose checkpoint is saved and whose final manifest is `manifest`."""
    write_text(out / CARD, card_of(out, manifest, name=out.resolve().name))


def card_of(out: Path, manifest: Manifest, *, name: str) -> str:
    """The card of the directory `out`, under the `name` that one would load it by."""
    found = (out / ADAPTER).exists(), (out / CURVE).exists()
    return model_card(manifest, read_ancestors(manifest), name=name, adapter=found[0], curve=found[1])


def model_card(
    manifest: Manifest, ancestors: Mapping[Stage, Manifest], *, name: str, adapter: bool, curve: bool = False
) -> str:
    """The card as text. No folder of this machine is named in it.

    Args:
        manifest: of a policy or an oracle.
        ancestors: the known manifests of the stages before it; unknown ones are left out.
        name: the Hub id or folder to load it from.
        adapter: whether it is a LoRA adapter and not a full model.
        curve: whether there is a picture of the training beside it.
    """
    known = {stage: public_manifest(found) for stage, found in ancestors.items()}
    shown = public_manifest(manifest)
    sections = [
        f"---\n{_front_matter(manifest, ancestors, adapter=adapter)}\n---",
        f"# {as_text(name.rpartition('/')[2])}",
        _summary(shown, known, adapter=adapter),
        *([f"![The training curve]({CURVE})"] if curve else []),
        "## How it was made",
        *([METHOD] if manifest.stage is Stage.POLICY else []),
        *_selection(known),
        "### Training",
        table(("", ""), _training(shown)),
        *_measured(shown.results),
        "## Load it",
        _snippet(shown, name, adapter=adapter),
        *_use(shown, name),
        "## Versions",
        table(("", ""), [(name, as_text(found)) for name, found in shown.versions.items() if found != "not installed"]),
        "## Citation",
        CITATION,
    ]
    return "\n\n".join(sections) + "\n"


def _front_matter(manifest: Manifest, ancestors: Mapping[Stage, Manifest], *, adapter: bool) -> str:
    from huggingface_hub import ModelCardData

    start = _start(manifest)
    data = [hub_datasets(found.input) for found in (manifest, *ancestors.values()) if found.stage in _READS_DATA]
    card = ModelCardData(
        base_model=start.name if start.revision is not None else None,
        datasets=sorted(set().union(*data)) or None,
        library_name="peft" if adapter else "transformers",
        pipeline_tag="text-generation",
        tags=["sepo", "preference-optimization", *(["lora"] if adapter else [])],
    )
    if start.revision is not None:
        card["base_model_relation"] = "adapter" if adapter else "finetune"
    return card.to_yaml()


_READS_DATA = {Stage.ORACLE, Stage.REWARDS}


def _start(manifest: Manifest) -> ModelRecord:
    """The model that training started from."""
    return manifest.models["policy" if manifest.stage is Stage.POLICY else "ref"]


def _summary(manifest: Manifest, known: Mapping[Stage, Manifest], *, adapter: bool) -> str:
    rank = manifest.options.get("lora_r")
    kind = f"a LoRA adapter{f' of rank {as_value(rank)}' if rank else ''}" if adapter else "a full model"
    start, results = as_text(_start(manifest).name), manifest.results
    source = known[Stage.REWARDS].input if Stage.REWARDS in known else manifest.input
    if manifest.stage is Stage.ORACLE:
        pairs = f"{as_value(results['pairs_seen'])} pairs" if "pairs_seen" in results else "pairs"
        return (
            f"An oracle for [SePO]({PAPER}): {kind}, trained with {_objective('dpo')} from {start} on {pairs} of "
            f"{as_text(manifest.input.name)}. Together with the model it started from it defines the reward of every "
            "token of a response; it is not meant for conversation."
        )
    pairs = f"{as_value(results['pairs'])} preference pairs" if "pairs" in results else "preference pairs"
    of = f" of {as_text(source.name)}" if Stage.REWARDS in known else ""
    loss = manifest.options.get("loss", "sepo")
    under = "" if loss == "sepo" else f" with the loss of {_objective(str(loss))}"
    return (
        f"A policy trained with [Selective Preference Optimization]({PAPER}): {kind}, trained from {start} on {pairs}"
        f"{of}{under}. It has learned from the selected tokens of the responses alone."
    )


def _objective(loss: str) -> str:
    if loss not in OBJECTIVES:
        return as_text(loss)
    title, number = OBJECTIVES[loss]
    return f"[{title}](https://arxiv.org/abs/{number})"


def _selection(known: Mapping[Stage, Manifest]) -> Iterable[str]:
    """The selection and its rewards, as far as they are known."""
    if (selection := known.get(Stage.SELECTION)) is None:
        return
    tokens, notes, rewards = selection.total("tokens"), selection.total("notes"), known.get(Stage.REWARDS)
    rows = _options(selection)
    rows += [("pairs", as_value(selection.rows))]
    for side in SIDES:
        if tokens.get(side) and f"{side}_selected" in notes:
            selected, total = notes[f"{side}_selected"], tokens[side]
            rows.append((f"{side} tokens", f"{selected:,} of {total:,} selected ({selected / total:.1%})"))
        elif side in tokens:
            rows.append((f"{side} tokens", f"{tokens[side]:,}"))
    rows += [(role, _model(record)) for role, record in selection.models.items()]
    if rewards is not None:
        rows += _options(rewards, prefix="rewards: ", only=_REWARDS)
        split = f", split {as_text(rewards.input.split)}" if rewards.input.split else ""
        rows += [("preference data", f"{as_text(rewards.input.name)}{split} ({rewards.input.rows:,} rows)")]
    if (oracle := known.get(Stage.ORACLE)) is not None:
        rows += [(f"oracle: {words}", as_value(value)) for words, value in _plain(oracle.results)]
        rows += _options(oracle, prefix="oracle: ", only=_ORACLE)
    rows += [("fingerprint", as_code(selection.fingerprint))]
    yield "### The selection"
    if selection.options.get("rule") != "top":
        yield "The tokens were selected by another rule than the method's, which is `top`."
    yield table(("", ""), rows)


_REWARDS = ("beta", "dtype", "max_length", "truncate")
_ORACLE = ("fraction", "lr", "epochs", "batch_size")


def _options(manifest: Manifest, *, prefix: str = "", only: Collection[str] = ()) -> list[tuple[str, str]]:
    """The options that were given, or `only` those, as rows of a table."""
    return [
        (prefix + name, as_value(without_folders(value)))
        for name, value in manifest.options.items()
        if value is not None and (not only or name in only)
    ]


def _training(manifest: Manifest) -> list[tuple[str, str]]:
    rows = [("start", _model(_start(manifest)))]
    rows += _options(manifest)
    if manifest.seconds is not None:
        rows += [("time", f"{manifest.seconds:,.0f} s")]
    return [*rows, ("fingerprint", as_code(manifest.fingerprint))]


def _measured(results: Mapping[str, JsonValue]) -> Iterable[str]:
    """The numbers of the run, and the metrics of the holdout pairs before and after it, where they are some."""
    rows = [(words, as_value(value)) for words, value in _plain(results)]
    if not rows:
        return
    yield "## Measured"
    yield table(("", ""), rows)
    evaluations = results.get("eval")
    if not isinstance(evaluations, dict):
        return
    before, after = evaluations.get("before"), evaluations.get("after")
    if isinstance(before, dict) and isinstance(after, dict):
        names = [name for name, value in after.items() if isinstance(value, int | float)]
        yield "On pairs held out of training, by prompt:"
        yield table(
            ("", "before", "after"),
            [
                (MEASURES.get(name, name), *(_measure(name, _known(side, name)) for side in (before, after)))
                for name in sorted(names, key=[*MEASURES, *names].index)
            ],
        )


def _known(evaluation: Mapping[str, JsonValue], name: str) -> JsonValue:
    """A metric; None for the accuracy of rewards that are 0 but for rounding, as those of a model against itself."""
    if name != "rewards/accuracies":
        return evaluation.get(name)
    sides = [evaluation.get(f"rewards/{side}") for side in SIDES]
    zero = all(isinstance(value, int | float) and abs(value) <= ROUNDING for value in sides)
    return None if zero else evaluation.get(name)


def _plain(results: Mapping[str, JsonValue]) -> list[tuple[str, JsonValue]]:
    """The numbers among the results that `RESULTS` names, by its words."""
    return [(RESULTS[name], value) for name, value in results.items() if name in RESULTS]


def _measure(name: str, value: JsonValue) -> str:
    if isinstance(value, float | int) and "accurac" in name:
        return f"{value:.1%}"
    return "" if value is None else as_value(value)


def _snippet(manifest: Manifest, name: str, *, adapter: bool) -> str:
    """Python that loads the model and lets it answer."""
    start = _start(manifest)
    trust = ", trust_remote_code=True" if manifest.options.get("trust_remote_code") else ""
    lines = ["from transformers import AutoModelForCausalLM, AutoTokenizer", ""]
    if adapter:
        lines = ["from peft import PeftModel", *lines]
        weights = f"  # weights {as_python(start.weights[:16])}" if start.revision is None else ""
        lines += [f"start = AutoModelForCausalLM.from_pretrained({as_python(start.name)}{trust}){weights}"]
        lines += [f"model = PeftModel.from_pretrained(start, {as_python(name)})"]
    else:
        lines += [f"model = AutoModelForCausalLM.from_pretrained({as_python(name)}{trust})"]
    lines += [f"tokenizer = AutoTokenizer.from_pretrained({as_python(name)}{trust})"]
    if manifest.tokenizer is not None and manifest.tokenizer.chat_template is not None:
        lines += [
            'turns = [{"role": "user", "content": "Tea or coffee?"}]',
            "inputs = tokenizer.apply_chat_template(",
            '    turns, add_generation_prompt=True, return_tensors="pt", return_dict=True',
            ")",
        ]
    else:
        lines += ['inputs = tokenizer("Tea or coffee?", return_tensors="pt")']
    lines += [
        "answer = model.generate(**inputs, max_new_tokens=64)",
        'print(tokenizer.decode(answer[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True))',
    ]
    return "\n".join(["```python", *lines, "```"])


def _use(manifest: Manifest, name: str) -> Iterable[str]:
    """The command that an oracle is made for."""
    if manifest.stage is Stage.ORACLE:
        yield "Score preference data with it, token by token:"
        oracle, reference = (shlex.quote(spelt_out(text)) for text in (name, _start(manifest).name))
        trust = " --trust-remote-code" if manifest.options.get("trust_remote_code") else ""
        yield f"```shell\nsepo score DATASET --oracle {oracle} --ref {reference}{trust} --out rewards/\n```"


def _model(record: ModelRecord) -> str:
    at = f" at {as_code(record.revision)}" if record.revision else f", weights {as_code(record.weights[:16])}"
    return f"{as_text(record.name)} ({record.parameters:,} parameters{at})"
