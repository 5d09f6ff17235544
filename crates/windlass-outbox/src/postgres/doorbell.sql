
-- The doorbell, optional: rows are relayed at once instead of within a second. Notifying transactions commit one after
-- the other, which a database with thousands of commits a second notices; leave it out there.
CREATE OR REPLACE FUNCTION windlass_outbox_ring() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  PERFORM pg_notify('windlass_outbox', '');
  RETURN NULL;
END $$;
DROP TRIGGER IF EXISTS windlass_outbox_ring ON windlass_outbox;
CREATE TRIGGER windlass_outbox_ring AFTER INSERT ON windlass_outbox FOR EACH STATEMENT EXECUTE FUNCTION windlass_outbox_ring();
