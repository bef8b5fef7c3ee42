-- question: What share of the tokens is selected, by length of the response? Lengths from a power of two to the next.
-- reads: selection

WITH responses AS (
  SELECT 'chosen' AS side, chosen_tokens AS length, chosen_selected AS selected FROM pairs
  UNION ALL
  SELECT 'rejected' AS side, rejected_tokens AS length, rejected_selected AS selected FROM pairs
)
SELECT side, CAST(POW(2, FLOOR(LOG2(length))) AS BIGINT) AS from_length,
       COUNT(*) AS responses, SUM(CAST(length AS BIGINT)) AS tokens, SUM(CAST(selected AS BIGINT)) AS selected,
       CAST(SUM(CAST(selected AS BIGINT)) AS DOUBLE) / SUM(CAST(length AS BIGINT)) AS share
FROM responses
GROUP BY side, from_length
ORDER BY side, from_length
