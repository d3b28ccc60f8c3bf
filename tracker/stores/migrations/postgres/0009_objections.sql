-- Whose an erased message was, so that an objection by one of its links is heeded.

ALTER TABLE tracker.tombstones ADD COLUMN person bytea;
COMMENT ON COLUMN tracker.tombstones.person IS 'Of a message: the digest of its recipient';
