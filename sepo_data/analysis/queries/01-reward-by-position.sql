-- question: How does the mean reward change along the responses? In steps of five tokens.
-- reads: rewards or selection

SELECT position - position % 5 AS from_position,
       COUNT(*) FILTER (WHERE side = 'chosen') AS chosen_tokens,
       AVG(reward) FILTER (WHERE side = 'chosen') AS chosen_reward,
       COUNT(*) FILTER (WHERE side = 'rejected') AS rejected_tokens,
       AVG(reward) FILTER (WHERE side = 'rejected') AS rejected_reward
FROM tokens
GROUP BY from_position
ORDER BY from_position
