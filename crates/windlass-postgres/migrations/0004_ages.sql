-- The longest-waiting ready job of a queue: the first in arrival, whatever its group and priority.
CREATE INDEX ready_age ON windlass.ready (queue, seq);
