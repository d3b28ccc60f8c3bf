-- Whose an erased message was, so that an objection by one of its links is heeded.

ALTER TABLE tombstones ADD COLUMN person BLOB;
