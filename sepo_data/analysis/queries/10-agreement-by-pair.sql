-- question: On which pairs do two selections agree least? Jaccard over both responses of the pair.
-- reads: two selections

WITH both AS (
  SELECT a.pair_id AS pair_id, a.occurrence AS occurrence, a.selected AS a, b.selected AS b
  FROM a_tokens AS a JOIN b_tokens AS b
    ON a.pair_id = b.pair_id AND a.occurrence = b.occurrence AND a.side = b.side AND a.position = b.position
)
SELECT pair_id, occurrence, COUNT(*) AS tokens,
       SUM(CAST(a AS BIGINT)) AS selected_a, SUM(CAST(b AS BIGINT)) AS selected_b,
       CAST(SUM(CAST(a AND b AS BIGINT)) AS DOUBLE) / SUM(CAST(a OR b AS BIGINT)) AS jaccard
FROM both
GROUP BY pair_id, occurrence
ORDER BY jaccard, pair_id, occurrence
LIMIT 10
