-- question: How much do two selections of the same pairs agree? Jaccard: selected in both, of those selected in any.
-- reads: two selections

WITH counts AS (
  SELECT CAST(a.side AS VARCHAR) AS side, COUNT(*) AS tokens,
         SUM(CAST(a.selected AS BIGINT)) AS selected_a, SUM(CAST(b.selected AS BIGINT)) AS selected_b,
         SUM(CAST(a.selected AND b.selected AS BIGINT)) AS in_both,
         SUM(CAST(a.selected OR b.selected AS BIGINT)) AS in_any
  FROM a_tokens AS a JOIN b_tokens AS b
    ON a.pair_id = b.pair_id AND a.occurrence = b.occurrence AND a.side = b.side AND a.position = b.position
  GROUP BY a.side
), sides AS (
  SELECT side, tokens, selected_a, selected_b, in_both, in_any FROM counts
  UNION ALL
  SELECT 'together' AS side, SUM(tokens), SUM(selected_a), SUM(selected_b), SUM(in_both), SUM(in_any) FROM counts
)
SELECT side, tokens, selected_a, selected_b, CAST(in_both AS DOUBLE) / in_any AS jaccard
FROM sides
ORDER BY side
