"""Why a row of the input is set aside while it is read."""

from __future__ import annotations

MAX_CHARACTERS = 4_000_000
"""The longest text that is tokenized: many times what any context holds, and yet a matter of seconds."""

REASONS: dict[str, str] = {
    # rows of text files
    "invalid_json": "The line is not JSON.",
    "invalid_utf8": "The text is not UTF-8.",
    "not_an_object": "The JSON value is not an object, so it has no columns.",
    "wrong_number_of_fields": "The CSV record has more or fewer fields than the header.",
    "invalid_csv": "The quotes of the CSV record do not match.",
    # values
    "missing_column": "The row lacks a column that its dataset has.",
    "late_column": "A column that adds to the prompt has its first value after the rows that the shape is told from.",
    "null": "A value that is needed is null.",
    "wrong_type": "A value has another type than in the other rows.",
    "invalid_unicode": "A text holds half of a surrogate pair, which no tokenizer and no file can take.",
    "too_large": f"A text has more than {MAX_CHARACTERS:,} characters, which no context holds.",
    "invalid_ids": "A list of token ids holds something else than whole numbers from 0 to 2,147,483,647.",
    # turns
    "unknown_role": "A turn is by somebody other than system, user, assistant or tool.",
    "tool_calls": "A turn has a tool call, a name or reasoning where the first rows have none: no place is kept.",
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
"""Every reason for which reading sets a row aside, in one sentence each."""


class BadRow(Exception):  # noqa: N818 - it names what was found; nothing went wrong in the program
    """This row cannot be used: a key of REASONS, and what it was in this row."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(reason, detail)
        self.reason = reason
        self.detail = detail
