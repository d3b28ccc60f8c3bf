-- What changed of recipients, in the order of time, for nodes that remember it while the store is away.

-- What is there already counts as changed before everything else.
ALTER TABLE standings ADD COLUMN updated_at INTEGER NOT NULL DEFAULT 0;
CREATE INDEX standings_by_change ON standings (updated_at, account, recipient);

-- NULL where nobody ever left the list or was put back on it, so that registrations don't touch the index.
ALTER TABLE recipients ADD COLUMN updated_at INTEGER;
UPDATE recipients SET updated_at = 0 WHERE unsubscribed_at IS NOT NULL OR reset_at IS NOT NULL;
CREATE INDEX recipients_by_change ON recipients (updated_at, account, recipient, list) WHERE updated_at IS NOT NULL;
