-- question: Do tokens that occur in both responses of a pair get smaller rewards than those that occur in one?
-- reads: rewards or selection

WITH sides AS (
  SELECT pair_id, token_id, MIN(side) <> MAX(side) AS in_both FROM tokens GROUP BY pair_id, token_id
)
SELECT t.side, s.in_both, COUNT(*) AS tokens, AVG(t.reward) AS mean_reward, AVG(ABS(t.reward)) AS mean_size
FROM tokens AS t JOIN sides AS s ON t.pair_id = s.pair_id AND t.token_id = s.token_id
GROUP BY t.side, s.in_both
ORDER BY t.side, s.in_both
