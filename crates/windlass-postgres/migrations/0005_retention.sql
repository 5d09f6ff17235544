-- Retention has a verb of its own.
DROP FUNCTION IF EXISTS windlass.prune(text, int, bigint);
-- It answers something now, which no replacement may change.
DROP FUNCTION IF EXISTS windlass.brought(text);
-- The order of arrival, written so that no search for a lane can take it: statistics of a time when a queue had one group
-- make it look as good as the lanes' own index, and then the lane of one group among thousands is looked for in all of them.
DROP INDEX windlass.ready_age;
CREATE INDEX ready_age ON windlass.ready (queue, (seq + 0));
-- A claim that takes a part of a row leaves the rest in place, with room for it in its page.
ALTER TABLE windlass.ready SET (fillfactor = 60);
