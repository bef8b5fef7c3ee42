"""Queries that ship with sepo, for what people ask of rewards and selections first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sepo_data.console.suggest import did_you_mean
from sepo_data.errors import SepoError

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True, slots=True)
class NamedQuery:
    """A query by name: the question it answers, the directories it reads, and its SQL."""

    name: str
    question: str
    reads: str
    sql: str


def named_query(name: str) -> NamedQuery:
    """The query called `name`, without its @."""
    for query in NAMED_QUERIES:
        if query.name == name:
            return query
    raise SepoError(
        f"there is no query named @{name}",
        did_you_mean(name, [query.name for query in NAMED_QUERIES]) or "`sepo query --list` shows them",
    )


def listing(name: str | None = None) -> Iterator[str]:
    """The lines that `sepo query --list` prints: every query and its question, or the SQL of the one called `name`."""
    if name is not None:
        yield named_query(name.removeprefix("@")).sql.strip()
        return
    for query in NAMED_QUERIES:
        yield f"@{query.name}  ({query.reads})"
        yield f"    {query.question}"


REWARDS, SELECTION, TWO_SELECTIONS = "rewards or selection", "selection", "two selections, --table a=DIR --table b=DIR"

NAMED_QUERIES = (
    NamedQuery(
        "reward-by-position",
        "How does the mean reward change along the responses? In steps of five tokens.",
        REWARDS,
        """
SELECT position - position % 5 AS from_position,
       COUNT(*) FILTER (WHERE side = 'chosen') AS chosen_tokens,
       AVG(reward) FILTER (WHERE side = 'chosen') AS chosen_reward,
       COUNT(*) FILTER (WHERE side = 'rejected') AS rejected_tokens,
       AVG(reward) FILTER (WHERE side = 'rejected') AS rejected_reward
FROM tokens
GROUP BY from_position
ORDER BY from_position
""",
    ),
    NamedQuery(
        "tokens-that-gain",
        "Which tokens does the oracle raise most? Of those that occur at least ten times.",
        REWARDS,
        """
SELECT token, count, chosen_count, rejected_count, mean_reward
FROM vocabulary
WHERE count >= 10
ORDER BY mean_reward DESC, token_id
LIMIT 10
""",
    ),
    NamedQuery(
        "tokens-that-lose",
        "Which tokens does the oracle lower most? Of those that occur at least ten times.",
        REWARDS,
        """
SELECT token, count, chosen_count, rejected_count, mean_reward
FROM vocabulary
WHERE count >= 10
ORDER BY mean_reward, token_id
LIMIT 10
""",
    ),
    NamedQuery(
        "selected-share-by-length",
        "What share of the tokens is selected, by length of the response? Lengths from a power of two to the next.",
        SELECTION,
        """
WITH responses AS (
  SELECT 'chosen' AS side, chosen_tokens AS length, chosen_selected AS selected FROM pairs
  UNION ALL
  SELECT 'rejected' AS side, rejected_tokens AS length, rejected_selected AS selected FROM pairs
)
SELECT side, CAST(POW(2, FLOOR(LOG2(length))) AS BIGINT) AS from_length,
       COUNT(*) AS responses, SUM(length) AS tokens, SUM(selected) AS selected,
       CAST(SUM(selected) AS DOUBLE) / SUM(length) AS share
FROM responses
GROUP BY side, from_length
ORDER BY side, from_length
""",
    ),
    NamedQuery(
        "chosen-rejected-overlap",
        "Do tokens that occur in both responses of a pair get smaller rewards than those that occur in one?",
        REWARDS,
        """
WITH sides AS (
  SELECT pair_id, token_id, MIN(side) <> MAX(side) AS in_both FROM tokens GROUP BY pair_id, token_id
)
SELECT t.side, s.in_both, COUNT(*) AS tokens, AVG(t.reward) AS mean_reward, AVG(ABS(t.reward)) AS mean_size
FROM tokens AS t JOIN sides AS s ON t.pair_id = s.pair_id AND t.token_id = s.token_id
GROUP BY t.side, s.in_both
ORDER BY t.side, s.in_both
""",
    ),
    NamedQuery(
        "worst-pairs",
        "On which pairs does the oracle disagree most with the preference?",
        REWARDS,
        """
SELECT source_row, pair_id, margin, chosen_reward, rejected_reward, oracle_seen
FROM pairs
ORDER BY margin, source_row
LIMIT 10
""",
    ),
    NamedQuery(
        "oracle-accuracy-by-prompt-length",
        "How often does the oracle prefer the chosen response, by length of the prompt?",
        REWARDS,
        """
SELECT CAST(POW(2, FLOOR(LOG2(prompt_tokens))) AS BIGINT) AS from_length,
       oracle_seen, COUNT(*) AS pairs, AVG(CAST(margin > 0 AS DOUBLE)) AS accuracy, AVG(margin) AS mean_margin
FROM pairs
GROUP BY from_length, oracle_seen
ORDER BY from_length, oracle_seen
""",
    ),
    NamedQuery(
        "reward-mass-curve",
        "What share of all reward, whatever its sign, lies in the strongest tenth of the tokens, in two tenths, ...?",
        REWARDS,
        """
WITH ranked AS (
  SELECT side, ABS(reward) AS size,
         ROW_NUMBER() OVER (PARTITION BY side ORDER BY ABS(reward) DESC) - 1 AS place,
         COUNT(*) OVER (PARTITION BY side) AS n
  FROM tokens
), tenths AS (
  SELECT side, CAST(FLOOR(place * 10 / n) AS BIGINT) + 1 AS tenth, SUM(CAST(size AS DOUBLE)) AS size
  FROM ranked GROUP BY side, tenth
)
SELECT side, tenth * 10 AS strongest_percent,
       SUM(size) OVER (PARTITION BY side ORDER BY tenth) / SUM(size) OVER (PARTITION BY side) AS share_of_reward
FROM tenths
ORDER BY side, tenth
""",
    ),
    NamedQuery(
        "agreement",
        "How much do two selections of the same pairs agree? Jaccard: selected in both, of those selected in any.",
        TWO_SELECTIONS,
        """
WITH counts AS (
  SELECT CAST(a.side AS VARCHAR) AS side, COUNT(*) AS tokens,
         SUM(CAST(a.selected AS BIGINT)) AS selected_a, SUM(CAST(b.selected AS BIGINT)) AS selected_b,
         SUM(CAST(a.selected AND b.selected AS BIGINT)) AS in_both,
         SUM(CAST(a.selected OR b.selected AS BIGINT)) AS in_any
  FROM a_tokens AS a JOIN b_tokens AS b
    ON a.pair_id = b.pair_id AND a.side = b.side AND a.position = b.position
  GROUP BY a.side
), sides AS (
  SELECT side, tokens, selected_a, selected_b, in_both, in_any FROM counts
  UNION ALL
  SELECT 'together' AS side, SUM(tokens), SUM(selected_a), SUM(selected_b), SUM(in_both), SUM(in_any) FROM counts
)
SELECT side, tokens, selected_a, selected_b, CAST(in_both AS DOUBLE) / in_any AS jaccard
FROM sides
ORDER BY side
""",
    ),
    NamedQuery(
        "agreement-by-pair",
        "On which pairs do two selections agree least? Jaccard over both responses of the pair.",
        TWO_SELECTIONS,
        """
WITH both AS (
  SELECT a.pair_id AS pair_id, a.selected AS a, b.selected AS b
  FROM a_tokens AS a JOIN b_tokens AS b
    ON a.pair_id = b.pair_id AND a.side = b.side AND a.position = b.position
)
SELECT pair_id, COUNT(*) AS tokens, SUM(CAST(a AS BIGINT)) AS selected_a, SUM(CAST(b AS BIGINT)) AS selected_b,
       CAST(SUM(CAST(a AND b AS BIGINT)) AS DOUBLE) / SUM(CAST(a OR b AS BIGINT)) AS jaccard
FROM both
GROUP BY pair_id
ORDER BY jaccard, pair_id
LIMIT 10
""",
    ),
)
"""In the order of the documentation."""
