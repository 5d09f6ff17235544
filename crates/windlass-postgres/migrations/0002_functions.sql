-- Which functions the schema has: the program that installed them and the hash of their text, so that a changed text is
-- installed, and an older program does not put its own in the place of a newer one's.
ALTER TABLE windlass.schema ADD COLUMN program text NOT NULL DEFAULT '', ADD COLUMN functions text NOT NULL DEFAULT '';
