-- question: How often does the oracle prefer the chosen response, by length of the prompt?
-- reads: rewards or selection

SELECT CAST(POW(2, FLOOR(LOG2(prompt_tokens))) AS BIGINT) AS from_length,
       oracle_seen, COUNT(*) AS pairs, AVG(CAST((SIGN(margin) + 1) / 2 AS DOUBLE)) AS accuracy, AVG(margin) AS mean_margin
FROM pairs
GROUP BY from_length, oracle_seen
ORDER BY from_length, oracle_seen
