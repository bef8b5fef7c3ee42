"""Every family of tokenizers: what is encoded in parts and at once is what the plain way gives, on any text."""

import json
import re
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import (
    AddedToken,
    Regex,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from sepo_data.preferences.preferences import read_preferences
from sepo_data.shapes.pairs import Pair, SkippedRow
from sepo_data.tokenization.tokenize import TokenizedPair, tokenize_pairs

ROOT = Path(__file__).resolve().parents[3]
SHARED = ROOT.parent / "shared"
EXAMPLES = [json.loads(line) for line in (ROOT / "examples" / "preferences.jsonl").read_text("utf-8").splitlines()]
TEXTS = [turn["content"] for row in EXAMPLES for part in ("prompt", "chosen", "rejected") for turn in row[part]]

# The patterns that Llama 3 and Qwen split text by; DeepSeek's cuts numbers and Chinese out first.
LLAMA3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
QWEN = LLAMA3.replace("{1,3}", "")
SPECIAL = ["<unk>", "<s>", "</s>", "<|start|>", "<|end|>"]
TEMPLATES = {
    # The turn of the assistant opens with a special token, or with the text that Llama 2 has there.
    "chatml": "{% for m in messages %}<|start|>{{ m.role }}\n{{ m.content }}<|end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|start|>assistant\n{% endif %}",
    "inst": "<s>{% for m in messages %}{% if m.role == 'user' %}[INST] {{ m.content }} [/INST]{% else %} "
    "{{ m.content }} </s>{% endif %}{% endfor %}",
}


def trained(model, trainer, **parts):
    tokenizer = Tokenizer(model)
    for name, part in parts.items():
        setattr(tokenizer, name, part)
    tokenizer.train_from_iterator(TEXTS, trainer)
    return tokenizer


def bpe(**options):
    alphabet = options.pop("alphabet", [])
    size = 600 if alphabet else 500
    trainer = trainers.BpeTrainer(
        vocab_size=size, special_tokens=SPECIAL, initial_alphabet=alphabet, show_progress=False
    )
    return trained(models.BPE(**options.pop("model", {})), trainer, **options)


def byte_level(*before, prefix=False, regex=False, **options):
    split = pre_tokenizers.ByteLevel(add_prefix_space=prefix, use_regex=regex)
    pre_tokenizer = pre_tokenizers.Sequence([*before, split]) if before else split
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    return bpe(pre_tokenizer=pre_tokenizer, decoder=decoders.ByteLevel(), alphabet=alphabet, **options)


def split(pattern):
    return pre_tokenizers.Split(Regex(pattern), "isolated")


def byte_fallback(tokenizer):
    """The 256 bytes, by which SentencePiece spells what it has no token for."""
    described = json.loads(tokenizer.to_str())
    model = described["model"]
    names = [f"<0x{byte:02X}>" for byte in range(256)]
    if model["type"] == "BPE":
        model["vocab"] |= {name: len(model["vocab"]) + at for at, name in enumerate(names)}
    else:
        model["vocab"] += [[name, -20.0] for name in names]
    model["byte_fallback"] = True
    return Tokenizer.from_str(json.dumps(described))


def sentencepiece_decoder(*last):
    return decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), *last])


def llama2():
    """A blank before every text, also before what follows a special token; no splitting at all."""
    blank = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    decoder = sentencepiece_decoder(decoders.Strip(" ", 1, 0))
    # Trained on words, as SentencePiece does, and used without them.
    tokenizer = bpe(
        normalizer=blank,
        pre_tokenizer=pre_tokenizers.Metaspace(prepend_scheme="never"),
        decoder=decoder,
        model={"unk_token": "<unk>", "fuse_unk": True},
    )
    described = json.loads(byte_fallback(tokenizer).to_str())
    described["pre_tokenizer"] = None
    return Tokenizer.from_str(json.dumps(described))


def gemma():
    """No blank before a text; blanks are of the word before them."""
    return byte_fallback(
        bpe(
            normalizer=normalizers.Replace(" ", "▁"),
            pre_tokenizer=pre_tokenizers.Split("▁", "merged_with_previous"),
            decoder=sentencepiece_decoder(),
            model={"unk_token": "<unk>", "fuse_unk": True},
        )
    )


def unigram(scheme, normalizer=None):
    trainer = trainers.UnigramTrainer(vocab_size=500, special_tokens=SPECIAL, unk_token="<unk>", show_progress=False)
    parts = {"normalizer": normalizer} if normalizer else {}
    tokenizer = trained(
        models.Unigram(),
        trainer,
        pre_tokenizer=pre_tokenizers.Metaspace(prepend_scheme=scheme),
        decoder=decoders.Sequence(
            [decoders.ByteFallback(), decoders.Metaspace(prepend_scheme=scheme), decoders.Fuse()]
        ),
        **parts,
    )
    return byte_fallback(tokenizer)


def wordpiece():
    trainer = trainers.WordPieceTrainer(vocab_size=500, special_tokens=SPECIAL, show_progress=False)
    return trained(
        models.WordPiece(unk_token="<unk>"),
        trainer,
        normalizer=normalizers.BertNormalizer(lowercase=True),
        pre_tokenizer=pre_tokenizers.BertPreTokenizer(),
        decoder=decoders.WordPiece(cleanup=False),
    )


FAMILIES = {
    "gpt2": lambda: byte_level(regex=True),
    "roberta": lambda: byte_level(regex=True, prefix=True),
    "llama3": lambda: byte_level(split(LLAMA3), model={"ignore_merges": True}),
    "qwen": lambda: byte_level(split(QWEN), normalizer=normalizers.NFC()),
    "deepseek": lambda: byte_level(split(r"\p{N}{1,3}"), split("[一-龥]+"), split(LLAMA3)),
    "llama2": llama2,
    "gemma": gemma,
    "t5": lambda: unigram("always"),
    "unigram-first": lambda: unigram("first"),
    "unigram-never": lambda: unigram("never"),
    "albert": lambda: unigram("always", normalizers.Sequence([normalizers.Strip(), normalizers.Lowercase()])),
    "bert": wordpiece,
    "phi3": llama2,  # whose special tokens swallow the white space behind them
}
LOSSLESS = {"gpt2", "llama3", "deepseek", "gemma", "unigram-never"}  # decoding gives the text back
SENTENCEPIECE = {"gemma", "unigram-never"}  # but for the character that blanks are written as
BOS = {"llama2", "llama3", "gemma", "unigram-first"}


@cache
def backend_of(name):
    backend = FAMILIES[name]()
    backend.add_special_tokens(
        [AddedToken(token, special=True, normalized=False, rstrip=name == "phi3") for token in SPECIAL]
    )
    if name in BOS:
        backend.post_processor = processors.TemplateProcessing(
            single="<s> $A", special_tokens=[("<s>", backend.token_to_id("<s>"))]
        )
    return backend


def tokenizer_of(name, template="chatml"):
    return PreTrainedTokenizerFast(
        tokenizer_object=backend_of(name),
        chat_template=TEMPLATES[template],
        bos_token="<s>",
        eos_token="</s>",
        unk_token="<unk>",
        name_or_path=name,
    )


def plain_texts(pair, tokenizer):
    """Prompt and responses as text, each rendered by itself."""
    if not pair.conversational:
        return pair.prompt, [pair.chosen, pair.rejected]

    def render(messages, **options):
        return tokenizer.apply_chat_template(messages, tokenize=False, **options)

    prompt = render(pair.prompt, add_generation_prompt=True)
    wholes = [render([*pair.prompt, *side]) for side in (pair.chosen, pair.rejected)]
    assert all(whole.startswith(prompt) for whole in wholes)
    return prompt, [whole[len(prompt) :] for whole in wholes]


def ended(text):
    """`text` up to the first of the tokens that it ends with, which are those of the template `chatml`, and EOS.

    The header of a next turn may stand behind them, or its first token.
    """
    text = re.sub(r"(<\|end\|>|</s>)\s*<\|start\|>(?:user|assistant|system|tool)?\s*$", r"\1", text)
    if not re.sub(r"(?:<\|end\|>|</s>|\s)+$", "", text):
        return text.rstrip() if text.rstrip().endswith(("<|end|>", "</s>")) else text
    text = re.sub(r"(<\|end\|>)(?:\s*(?:<\|end\|>|</s>))*\s*$", r"\1", text)
    return re.sub(r"(</s>)(?:\s*</s>)*\s*$", r"\1", text)


def opening(tokenizer):
    """What the tokenizer itself puts before a text."""
    bos = tokenizer.bos_token_id
    return [bos] if tokenizer("a")["input_ids"][0] == bos else []


def check(pair, item, tokenizer, *, lossless):
    """The ids of a pair are those of its whole texts, encoded one by one, with BOS and EOS where strings need them."""

    def encode(text):
        return tokenizer(text, add_special_tokens=False)["input_ids"]

    blank = " " if tokenizer.name_or_path in SENTENCEPIECE else "▁"
    prompt, responses = plain_texts(pair, tokenizer)
    if pair.conversational:
        assert item.end_trimmed == any(ended(text).rstrip() != text.rstrip() for text in responses)
    responses = list(map(ended, responses))
    ends = {tokenizer.eos_token_id, tokenizer.get_vocab().get("<|end|>")}
    bos, eos = ([], []) if pair.conversational else (opening(tokenizer), [tokenizer.eos_token_id])
    prompt_ids, wholes = encode(prompt), [encode(prompt + response) for response in responses]
    assert item.prompt_ids == (prompt_ids if prompt_ids[:1] == bos else bos + prompt_ids) or [tokenizer.bos_token_id]
    if "<s>" not in prompt:
        assert item.prompt_ids.count(tokenizer.bos_token_id) == (1 if bos or not prompt_ids else 0)
    fits = [whole[: len(prompt_ids)] == prompt_ids for whole in wholes]
    assert item.boundary_merged == (not all(fits))
    for ids, whole, fit, text in zip((item.chosen_ids, item.rejected_ids), wholes, fits, responses, strict=True):
        if fit:
            rest = whole[len(prompt_ids) :]
            assert ids == (rest if rest and rest[-1] in ends else rest + eos)
        if lossless:
            end = "" if pair.conversational or text.endswith(("</s>", "<|end|>")) else "</s>"
            assert tokenizer.decode(prompt_ids + ids) == (prompt + text).replace("▁", blank) + end
        if "</s>" not in text:
            expected = [] if text.endswith("<|end|>") else eos
            assert ids.count(tokenizer.eos_token_id) == len(expected)
            assert ids[len(ids) - len(expected) :] == expected


def check_cut(whole, cut, truncate, limit, bos):
    """What was cut is the rest of the whole."""
    if isinstance(cut, SkippedRow):
        assert cut.reason in {"too_long", "equal_responses"}
        return
    longest = max(len(whole.chosen_ids), len(whole.rejected_ids))
    assert cut.truncated == (len(whole.prompt_ids) + longest > limit)
    assert len(cut.prompt_ids) + max(len(cut.chosen_ids), len(cut.rejected_ids)) <= limit
    if truncate == "prompt":
        assert (cut.chosen_ids, cut.rejected_ids) == (whole.chosen_ids, whole.rejected_ids)
        kept = len(bos) if whole.prompt_ids[: len(bos)] == bos else 0
        assert cut.prompt_ids[:kept] == whole.prompt_ids[:kept]
        assert whole.prompt_ids[len(whole.prompt_ids) - len(cut.prompt_ids) + kept :] == cut.prompt_ids[kept:]
    else:
        assert cut.prompt_ids == whole.prompt_ids
        for side in ("chosen_ids", "rejected_ids"):
            full, part = getattr(whole, side), getattr(cut, side)
            assert part == full[: limit - len(whole.prompt_ids)], "EOS only where all of the response is"


def check_all(pairs, tokenizer, *, lossless, limit):
    """Check every pair, whole and cut; returns those that were tokenized."""
    items = tokenize_pairs(pairs, tokenizer, max_length=10**6)
    used = [(pair, item) for pair, item in zip(pairs, items, strict=True) if isinstance(item, TokenizedPair)]
    for pair, item in used:
        check(pair, item, tokenizer, lossless=lossless)
    for truncate in ("prompt", "response"):
        cuts = tokenize_pairs([pair for pair, _ in used], tokenizer, max_length=limit, truncate=truncate)
        for (_, item), cut in zip(used, cuts, strict=True):
            check_cut(item, cut, truncate, limit, opening(tokenizer))
    return [item for _, item in used]


def as_messages(row):
    return Pair(0, row["prompt"], row["chosen"], row["rejected"])


def as_strings(row):
    said = [" ".join(turn["content"] for turn in row[part]) for part in ("prompt", "chosen", "rejected")]
    return Pair(0, said[0], " " + said[1], " " + said[2])


@pytest.mark.parametrize("template", TEMPLATES)
@pytest.mark.parametrize("name", FAMILIES)
def test_conversations(name, template):
    pairs = [as_messages(row) for row in EXAMPLES[::8]]
    items = check_all(pairs, tokenizer_of(name, template), lossless=name in LOSSLESS, limit=60)
    assert len(items) == len(pairs)
    assert not any(item.boundary_merged for item in items)


@pytest.mark.parametrize("name", FAMILIES)
def test_strings(name):
    pairs = [as_strings(row) for row in EXAMPLES[::8]]
    items = check_all(pairs, tokenizer_of(name), lossless=name in LOSSLESS, limit=60)
    assert len(items) == len(pairs)
    # Where blanks go with the word before them, the last one of the prompt takes that of the response.
    assert any(item.boundary_merged for item in items) == (name == "gemma")


PIECES = [
    *"ae \n\t\0ßéİﬁ▁Ġ\u00a0\u200d\ufeff👩",
    "the", "  ", "\r\n", "e\u0301", "日本", "ـع", "##", "12345", "'s", "\U0010ffff",
    "<s>", "</s>", "<|start|>", "<|end|>", "<|",
]  # fmt: skip
NASTY = st.lists(st.sampled_from(PIECES), max_size=5).map("".join)


@pytest.mark.parametrize("name", FAMILIES)
@given(rows=st.lists(st.tuples(NASTY, NASTY, NASTY), min_size=1, max_size=6))
@settings(max_examples=12, derandomize=True)
def test_any_text(name, rows):
    def turn(role, text):
        return [{"role": role, "content": text}]

    strings = [Pair(0, *row) for row in rows]
    messages = [Pair(0, turn("user", row[0]), *(turn("assistant", text) for text in row[1:])) for row in rows]
    check_all(strings, tokenizer_of(name), lossless=name in LOSSLESS, limit=4)
    check_all(messages, tokenizer_of(name), lossless=name in LOSSLESS, limit=30)


DATASETS = [
    "hh_helpful", "ultrafeedback", "dpo_en_conversations/conversational.jsonl.gz", "truthy_system",
    "llmfao_votes/shp_columns.jsonl.gz", "polite_alpaca",
]  # fmt: skip


def without_turns(pair):
    texts = (
        side if isinstance(side, str) else "\n".join(turn["content"] for turn in side)
        for side in (pair.prompt, pair.chosen, pair.rejected)
    )
    return Pair(pair.source_row, *texts)


@pytest.mark.slow
@pytest.mark.shared
@pytest.mark.parametrize("dataset", DATASETS)
def test_every_dataset_with_every_family(dataset):
    if not (SHARED / "data").is_dir():
        pytest.skip("the shared datasets are not on this machine")
    found = [item for item in read_preferences(str(SHARED / "data" / dataset)) if isinstance(item, Pair)]
    pairs = found[:: len(found) // 8]
    for name in FAMILIES:
        items = check_all(pairs, tokenizer_of(name), lossless=name in LOSSLESS, limit=200)
        assert len(items) == len(pairs)
    for name in ("stories260k", "glassllm-en", "glassllm-pt"):  # real ones, without a chat template
        tokenizer = AutoTokenizer.from_pretrained(SHARED / "models" / name, model_max_length=10**6)
        items = check_all([without_turns(pair) for pair in pairs], tokenizer, lossless=False, limit=200)
        assert len(items) == len(pairs)
