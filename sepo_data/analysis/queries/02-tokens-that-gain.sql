-- question: Which tokens does the oracle raise most? Of those that occur at least ten times.
-- reads: rewards or selection

SELECT token, count, chosen_count, rejected_count, mean_reward
FROM vocabulary
WHERE count >= 10
ORDER BY mean_reward DESC, token_id
LIMIT 10
