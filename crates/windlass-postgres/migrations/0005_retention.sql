-- Retention has a verb of its own.
DROP FUNCTION IF EXISTS windlass.prune(text, int, bigint);
