-- question: What share of all reward, whatever its sign, lies in the strongest tenth of the tokens, in two tenths, ...?
-- reads: rewards or selection

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
