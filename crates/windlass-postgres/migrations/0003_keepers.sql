-- A reader of the event log that also needs jobs: those that ended at that time or later stay until it has gone on.
ALTER TABLE windlass.reader ADD COLUMN keeps_from bigint;
