-- What changed of recipients, in the order of time, for nodes that remember it while the store is away.

-- What is there already counts as changed now.
ALTER TABLE tracker.standings ADD COLUMN updated_at timestamptz NOT NULL DEFAULT now();
CREATE INDEX standings_by_change ON tracker.standings (updated_at, account, recipient);

-- NULL where nobody ever left the list or was put back on it, so that registrations don't touch the index.
ALTER TABLE tracker.recipients ADD COLUMN updated_at timestamptz;
UPDATE tracker.recipients SET updated_at = now() WHERE unsubscribed_at IS NOT NULL OR reset_at IS NOT NULL;
CREATE INDEX recipients_by_change ON tracker.recipients (updated_at, account, recipient, list)
WHERE updated_at IS NOT NULL;
COMMENT ON COLUMN tracker.recipients.updated_at IS 'When unsubscribed_at or reset_at changed last';
