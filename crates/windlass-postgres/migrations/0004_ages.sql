-- The longest-waiting ready job of a queue: the first in arrival, whatever its group and priority.
CREATE INDEX ready_age ON windlass.ready (queue, seq);
DROP FUNCTION IF EXISTS windlass.oldest_ready(text);
-- It answers something now, which no replacement may change.
DROP FUNCTION IF EXISTS windlass.give_up_keys(uuid[]);
