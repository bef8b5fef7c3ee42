"""Reasons for which rows and pairs are skipped: the codes of `skipped.jsonl`, each with its meaning."""

from __future__ import annotations

MAX_CHARACTERS = 4_000_000
"""The longest text that is tokenized: many times what any context holds, and yet a matter of seconds."""

READING_REASONS = {
    # rows of text files
    "invalid_json": "The line is not JSON.",
    "invalid_utf8": "The text is not UTF-8.",
    "not_an_object": "The JSON value is not an object, so it has no columns.",
    "wrong_number_of_fields": "The CSV record has more or fewer fields than the header.",
    "invalid_csv": "The quotes of the CSV record do not match.",
    # values
    "missing_column": "The row lacks a column that its dataset has.",
    "late_column": "A column that adds to the prompt has its first value after the rows used for detection.",
    "null": "A required value is null.",
    "wrong_type": "A value has another type than in the other rows.",
    "invalid_unicode": "A text holds half of a surrogate pair, which no tokenizer and no file can take.",
    "too_large": f"A text has more than {MAX_CHARACTERS:,} characters, which no context holds.",
    "invalid_ids": "A list of token ids holds something else than whole numbers from 0 to 2,147,483,647.",
    "written_turns": "A conversation is written as text, or cut, where the other rows have prose.",
    # turns
    "unknown_role": "A turn has another role than system, user, assistant or tool.",
    "tool_calls": "A turn has a tool call, a name or reasoning where the first rows have none: no column holds it.",
    "two_system_turns": "The system column and the system turn of the conversation differ.",
    # pairs
    "empty_prompt": "The conversation begins with the response, or the list of prompt ids is empty.",
    "prompt_mismatch": "The prompt column is not what both responses continue: one of them does not repeat it.",
    "no_shared_turn": "The two transcripts share no beginning that ends where the assistant speaks.",
    "empty_response": "A response is empty or white space.",
    "ends_in_user_turn": "A response does not end in an assistant turn.",
    "other_speaker": "A response holds a turn that is not the assistant's: its words would be scored and trained on.",
    "equal_responses": "Both responses are the same: nothing is preferred.",
    "duplicate": "The same prompt, chosen and rejected were in an earlier row (only with --dedupe).",
    # votes and ranks
    "unknown_label": "The label names neither response.",
    "tie": "The vote, the scores or the ranks prefer no response.",
    "too_few_answers": "A row of ranked answers has fewer than two.",
    "invalid_score": "A rank or a score is not a finite number.",
}
"""Found while a row is read."""

TOKENIZING_REASONS = {
    "too_long": "Prompt and response together exceed --max-length.",
    "empty_prompt": "The prompt has no tokens and the tokenizer no BOS, so nothing predicts the first response token.",
    "no_tokens": "A response has no tokens.",
    "equal_responses": "Both responses have the same tokens.",
    "unknown_id": "An id of a row that is tokenized already is not among the tokenizer's.",
    "template_not_prefix": "The chat template renders the prompt differently once a response follows it.",
    "template_error": "The chat template refuses the messages.",
    "lost_in_template": "The chat template leaves out a part of the messages, such as a tool call. Another one is "
    "given with --chat-template; where it knows no tools, --ignore tools reads the rows without them.",
}
"""Found while a pair is rendered and tokenized."""

NON_FINITE = "non_finite"
SCORING_REASONS = {NON_FINITE: "A model gave NaN or infinite log-probabilities."}
"""Found while a pair is scored."""

SELECTING_REASONS = {
    "invalid_span": "A span of `span` ends before it begins, or reaches beyond its response.",
    "other_text": "The tokens of a response have another text than the response, so its spans mean nothing.",
}
"""Found while tokens are selected."""

REASONS = {
    "reading": READING_REASONS,
    "tokenizing": TOKENIZING_REASONS,
    "scoring": SCORING_REASONS,
    "selecting": SELECTING_REASONS,
}
"""Every reason, by the step that finds it."""

CODES = frozenset(code for reasons in REASONS.values() for code in reasons)
"""The codes that `skipped.jsonl` may have."""


class SkipRow(Exception):  # noqa: N818 - an outcome of reading; nothing went wrong in the program
    """This row is skipped: a key of READING_REASONS, and a detail about this row."""

    def __init__(self, reason: str, detail: str) -> None:
        if reason not in READING_REASONS:
            raise ValueError(f"{reason!r} is no reason to skip a row; known: {', '.join(READING_REASONS)}")
        super().__init__(reason, detail)
        self.reason = reason
        self.detail = detail
