-- question: On which pairs does the oracle disagree most with the preference?
-- reads: rewards or selection

SELECT source_row, pair_id, margin, chosen_reward, rejected_reward, oracle_seen
FROM pairs
ORDER BY margin, source_row
LIMIT 10
