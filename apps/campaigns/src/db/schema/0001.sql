-- The campaigns' tables, version 1. One text for SQLite and PostgreSQL: numbers are BIGINT, times are milliseconds since
-- 1970 in UTC, booleans 0 and 1, what has a shape of its own is JSON in TEXT. BYTEA is bytes, to SQLite as well. {id} is a number that the database gives, {c} an
-- order of texts by their bytes.

-- What the installation knows of itself: its name in Message-IDs, its keys, its clock, its window rules.
CREATE TABLE settings (
  name TEXT PRIMARY KEY,
  value TEXT NOT NULL
);

CREATE TABLE users (
  id {id},
  name TEXT NOT NULL UNIQUE,
  email TEXT NOT NULL DEFAULT '',
  weight BIGINT NOT NULL,
  created_at BIGINT NOT NULL,
  daily_cap BIGINT
);

CREATE TABLE contacts (
  id {id},
  email TEXT{c} UNIQUE,
  phone TEXT{c} UNIQUE,
  name TEXT NOT NULL DEFAULT '',
  time_zone TEXT,
  country TEXT,
  state TEXT,
  zip TEXT,
  account TEXT,
  account_key TEXT{c},
  fields TEXT NOT NULL DEFAULT '{}',
  created_at BIGINT NOT NULL,
  updated_at BIGINT NOT NULL,
  erased_at BIGINT
);
-- Colleagues have the same key: the account as somebody wrote it, or else the domain of their mail.
CREATE INDEX contacts_account ON contacts (account_key, id) WHERE account_key IS NOT NULL;

CREATE TABLE consents (
  contact_id BIGINT NOT NULL REFERENCES contacts (id),
  channel TEXT NOT NULL,
  basis TEXT NOT NULL,
  proof TEXT NOT NULL DEFAULT '',
  source TEXT NOT NULL,
  given_at BIGINT NOT NULL,
  revoked_at BIGINT,
  PRIMARY KEY (contact_id, channel)
);

CREATE TABLE lists (
  id {id},
  name TEXT NOT NULL UNIQUE,
  created_at BIGINT NOT NULL
);

CREATE TABLE list_members (
  list_id BIGINT NOT NULL REFERENCES lists (id),
  contact_id BIGINT NOT NULL REFERENCES contacts (id),
  PRIMARY KEY (list_id, contact_id)
);
CREATE INDEX list_members_contact ON list_members (contact_id);

-- A template's text never changes: an edit is the next version.
CREATE TABLE templates (
  id {id},
  name TEXT NOT NULL,
  version BIGINT NOT NULL,
  channel TEXT NOT NULL,
  subject TEXT NOT NULL DEFAULT '',
  body TEXT NOT NULL,
  html TEXT,
  created_at BIGINT NOT NULL,
  UNIQUE (name, version)
);

CREATE TABLE providers (
  id {id},
  name TEXT NOT NULL UNIQUE,
  kind TEXT NOT NULL,
  url TEXT NOT NULL,
  account TEXT NOT NULL DEFAULT '',
  secret TEXT NOT NULL DEFAULT '',
  callback_key TEXT NOT NULL DEFAULT '',
  inbound_key TEXT NOT NULL DEFAULT '',
  per_second BIGINT,
  concurrency BIGINT,
  breaker TEXT NOT NULL DEFAULT '',
  pace TEXT NOT NULL DEFAULT '',
  revision BIGINT NOT NULL DEFAULT 1,
  created_at BIGINT NOT NULL
);

CREATE TABLE error_rules (
  id {id},
  provider_kind TEXT NOT NULL,
  code TEXT NOT NULL,
  action TEXT NOT NULL,
  note TEXT NOT NULL DEFAULT '',
  UNIQUE (provider_kind, code)
);

-- How hard a recipient's domain may be asked; domains without a row are not held back. One that nobody has set a limit for
-- has a row while it is slowed down: free_at is when the next mail may go of those that were made before, and take no limit.
CREATE TABLE domain_limits (
  domain TEXT PRIMARY KEY,
  per_minute BIGINT,
  concurrency BIGINT,
  pace TEXT NOT NULL DEFAULT '',
  free_at BIGINT NOT NULL DEFAULT 0,
  per_day BIGINT
);

CREATE TABLE senders (
  id {id},
  user_id BIGINT REFERENCES users (id),
  channel TEXT NOT NULL,
  name TEXT NOT NULL DEFAULT '',
  address TEXT NOT NULL,
  provider_id BIGINT NOT NULL REFERENCES providers (id),
  time_zone TEXT NOT NULL,
  daily_cap BIGINT NOT NULL,
  per_minute BIGINT,
  warm_up TEXT NOT NULL,
  cap_today BIGINT NOT NULL,
  paused INTEGER NOT NULL DEFAULT 0,
  pause_reason TEXT NOT NULL DEFAULT '',
  judged_from BIGINT NOT NULL DEFAULT 0,
  breaker TEXT NOT NULL DEFAULT '',
  revision BIGINT NOT NULL DEFAULT 1,
  created_at BIGINT NOT NULL,
  paused_until BIGINT,
  UNIQUE (channel, address)
);

CREATE TABLE campaigns (
  id {id},
  user_id BIGINT NOT NULL REFERENCES users (id),
  name TEXT NOT NULL,
  status TEXT NOT NULL,
  list_id BIGINT REFERENCES lists (id),
  version BIGINT NOT NULL,
  weight BIGINT NOT NULL,
  daily_cap BIGINT,
  policy TEXT NOT NULL,
  stop_rules TEXT NOT NULL,
  postal_address TEXT NOT NULL DEFAULT '',
  starts_at BIGINT,
  launched_at BIGINT,
  paged_at BIGINT,
  ended_at BIGINT,
  contacts BIGINT NOT NULL DEFAULT 0,
  revision BIGINT NOT NULL DEFAULT 1,
  created_at BIGINT NOT NULL,
  new_per_day BIGINT,
  paused_until BIGINT
);
CREATE INDEX campaigns_user ON campaigns (user_id, status);

CREATE TABLE campaign_senders (
  campaign_id BIGINT NOT NULL REFERENCES campaigns (id),
  sender_id BIGINT NOT NULL REFERENCES senders (id),
  PRIMARY KEY (campaign_id, sender_id)
);

-- A sequence never changes once it was launched: an edit is the next version.
CREATE TABLE sequences (
  campaign_id BIGINT NOT NULL REFERENCES campaigns (id),
  version BIGINT NOT NULL,
  steps TEXT NOT NULL,
  created_at BIGINT NOT NULL,
  PRIMARY KEY (campaign_id, version)
);

-- Who was on the list when the campaign was launched, and where each stands.
CREATE TABLE enrolments (
  campaign_id BIGINT NOT NULL REFERENCES campaigns (id),
  contact_id BIGINT NOT NULL REFERENCES contacts (id),
  version BIGINT NOT NULL,
  step BIGINT NOT NULL,
  status TEXT NOT NULL,
  reason TEXT NOT NULL DEFAULT '',
  next_at BIGINT,
  updated_at BIGINT NOT NULL,
  PRIMARY KEY (campaign_id, contact_id)
);
CREATE INDEX enrolments_status ON enrolments (campaign_id, status, step, next_at);
CREATE INDEX enrolments_stopped ON enrolments (campaign_id, reason) WHERE status = 'stopped';
CREATE INDEX enrolments_contact ON enrolments (contact_id);

-- Contacts to whom nothing is sent for a while: by no campaign, which is campaign 0, or not by that one; until that moment, or
-- until somebody lets them go on. A row whose moment has come is over by itself.
CREATE TABLE contact_pauses (
  contact_id BIGINT NOT NULL REFERENCES contacts (id),
  campaign_id BIGINT NOT NULL,
  until_at BIGINT,
  why TEXT NOT NULL DEFAULT '',
  who TEXT NOT NULL,
  at BIGINT NOT NULL,
  PRIMARY KEY (contact_id, campaign_id)
);

-- Who of an account has answered in a campaign. Where that stops colleagues, whoever sends to one of them holds the row for
-- a moment, so that no message and no answer pass each other.
CREATE TABLE campaign_accounts (
  account TEXT{c} NOT NULL,
  campaign_id BIGINT NOT NULL REFERENCES campaigns (id),
  contact_id BIGINT,
  answered_at BIGINT,
  PRIMARY KEY (account, campaign_id)
);

-- One message that a campaign owes a contact: at most one for each step and channel. The step is the same one in every
-- version of the sequence by its key; its number is its place in the version by which the message goes.
CREATE TABLE touches (
  id {id},
  campaign_id BIGINT NOT NULL REFERENCES campaigns (id),
  contact_id BIGINT NOT NULL REFERENCES contacts (id),
  step BIGINT NOT NULL,
  channel TEXT NOT NULL,
  version BIGINT NOT NULL,
  template_id BIGINT REFERENCES templates (id),
  variant TEXT NOT NULL DEFAULT '',
  status TEXT NOT NULL,
  reason TEXT NOT NULL DEFAULT '',
  detail TEXT NOT NULL DEFAULT '',
  until_at BIGINT,
  address TEXT NOT NULL DEFAULT '',
  sender_id BIGINT REFERENCES senders (id),
  job TEXT NOT NULL DEFAULT '',
  provider_ref TEXT,
  provider_status TEXT NOT NULL DEFAULT '',
  sends BIGINT NOT NULL DEFAULT 0,
  content_hash TEXT NOT NULL DEFAULT '',
  evidence TEXT NOT NULL DEFAULT '',
  counted_day TEXT NOT NULL DEFAULT '',
  created_at BIGINT NOT NULL,
  sending_at BIGINT,
  sent_at BIGINT,
  ended_at BIGINT,
  step_key BIGINT NOT NULL,
  UNIQUE (campaign_id, contact_id, step_key, channel)
);
CREATE INDEX touches_funnel ON touches (campaign_id, step_key, channel, status, reason);
CREATE INDEX touches_contact ON touches (contact_id, status);
CREATE INDEX touches_provider ON touches (provider_ref);
CREATE INDEX touches_address ON touches (address);
CREATE INDEX touches_sender ON touches (sender_id, sent_at);
CREATE INDEX touches_bounced ON touches (sender_id, ended_at) WHERE status = 'bounced' AND sent_at IS NULL;
CREATE INDEX touches_status ON touches (status, id);
CREATE INDEX touches_variants ON touches (campaign_id, step_key, version, variant, status) WHERE variant <> '';
CREATE INDEX touches_sent ON touches (campaign_id, sent_at, channel) WHERE sent_at IS NOT NULL;

-- What became known of a touch or a contact, once each: key is the source's own name for it.
CREATE TABLE events (
  id {id},
  at BIGINT NOT NULL,
  kind TEXT NOT NULL,
  touch_id BIGINT REFERENCES touches (id),
  campaign_id BIGINT,
  contact_id BIGINT,
  source TEXT NOT NULL,
  detail TEXT NOT NULL DEFAULT '',
  key TEXT UNIQUE
);
CREATE INDEX events_touch ON events (touch_id);
CREATE INDEX events_contact ON events (contact_id, campaign_id, kind);
CREATE INDEX events_answers ON events (campaign_id, kind)
  WHERE kind IN ('opened', 'clicked', 'replied', 'opted_out', 'complained');

-- Addresses that must not be reached. The hash is what is compared; the address goes when its contact is erased.
CREATE TABLE suppressions (
  id {id},
  user_id BIGINT NOT NULL DEFAULT 0,
  channel TEXT NOT NULL,
  address_hash TEXT NOT NULL,
  address TEXT,
  reason TEXT NOT NULL,
  source TEXT NOT NULL,
  at BIGINT NOT NULL,
  UNIQUE (address_hash, channel, user_id)
);
-- Addresses of contacts who were erased: whoever brings one again is told so.
CREATE INDEX suppressions_forgotten ON suppressions (address_hash) WHERE address IS NULL;

-- Messages counted against a cap: of a campaign, of a sender, on one of its days.
CREATE TABLE usage (
  kind TEXT NOT NULL,
  subject_id BIGINT NOT NULL,
  day TEXT NOT NULL,
  used BIGINT NOT NULL,
  PRIMARY KEY (kind, subject_id, day)
);

-- What people have to decide: calls whose outcome nobody knows, texts and mails that may mean an opt-out.
CREATE TABLE reviews (
  id {id},
  kind TEXT NOT NULL,
  touch_id BIGINT REFERENCES touches (id),
  contact_id BIGINT,
  channel TEXT NOT NULL,
  text TEXT NOT NULL DEFAULT '',
  at BIGINT NOT NULL,
  decision TEXT,
  decided_by TEXT,
  decided_at BIGINT,
  key TEXT UNIQUE,
  -- Who asks, where that is no contact: the keyed hash of their address, and whom they ask about.
  writer TEXT NOT NULL DEFAULT ''
);
CREATE INDEX reviews_open ON reviews (decision, id);
CREATE UNIQUE INDEX reviews_strangers ON reviews (writer) WHERE writer <> '' AND decision IS NULL;
-- What a contact wrote and nobody has read yet holds back whatever is to be sent to them.
CREATE INDEX reviews_contact ON reviews (contact_id) WHERE decision IS NULL;

-- Files of contacts on their way in. Each start of one is a run; who works for an earlier run finds out at the next batch.
-- List and plan are there once somebody has said what the columns mean.
CREATE TABLE imports (
  id {id},
  name TEXT NOT NULL,
  list_id BIGINT REFERENCES lists (id),
  plan TEXT,
  who TEXT NOT NULL,
  status TEXT NOT NULL,
  why TEXT NOT NULL DEFAULT '',
  run BIGINT NOT NULL DEFAULT 0,
  bytes BIGINT NOT NULL DEFAULT 0,
  bytes_done BIGINT NOT NULL DEFAULT 0,
  rows_read BIGINT NOT NULL DEFAULT 0,
  added BIGINT NOT NULL DEFAULT 0,
  updated BIGINT NOT NULL DEFAULT 0,
  duplicates BIGINT NOT NULL DEFAULT 0,
  refused BIGINT NOT NULL DEFAULT 0,
  by_code TEXT NOT NULL DEFAULT '{}',
  errors_cut BIGINT NOT NULL DEFAULT 0,
  seen_at BIGINT NOT NULL,
  created_at BIGINT NOT NULL,
  ended_at BIGINT
);
CREATE INDEX imports_status ON imports (status);

-- The files themselves, until their import is over: here, because any process that shares the database may work on it.
CREATE TABLE import_files (
  import_id BIGINT NOT NULL REFERENCES imports (id),
  part BIGINT NOT NULL,
  bytes BYTEA NOT NULL,
  PRIMARY KEY (import_id, part)
);

-- The rows that were refused, as pieces of a CSV file in their order: whole rows each, the first with the headings.
CREATE TABLE import_errors (
  import_id BIGINT NOT NULL REFERENCES imports (id),
  part BIGINT NOT NULL,
  csv TEXT NOT NULL,
  PRIMARY KEY (import_id, part)
);

-- Who changed what; only grows.
CREATE TABLE audit (
  id {id},
  at BIGINT NOT NULL,
  who TEXT NOT NULL,
  what TEXT NOT NULL,
  subject TEXT NOT NULL,
  detail TEXT NOT NULL DEFAULT ''
);
