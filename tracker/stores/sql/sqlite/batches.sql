-- Counts of batches, and the messages that they are of.

-- name: add_batches
INSERT INTO batches (account, batch) VALUES (?, ?) ON CONFLICT DO NOTHING

-- name: batch_counts_at
SELECT account, batch, measure, key, count
FROM batch_counts
WHERE account = ? AND batch = ? AND measure = ? AND key = ?

-- name: add_batch_counts
INSERT INTO batch_counts (account, batch, measure, key, count) VALUES (?, ?, ?, ?, ?)
ON CONFLICT (account, batch, measure, key) DO UPDATE SET count = count + excluded.count

-- name: batches_named
SELECT batch, created_at FROM batches WHERE account = ? AND batch = ?

-- name: batch_counts
SELECT batch, measure, key, count FROM batch_counts WHERE account = ? AND batch = ? AND count <> 0

-- name: batch_counts_without_keys
SELECT batch, measure, key, count FROM batch_counts WHERE account = ? AND batch = ? AND count <> 0 AND key = ''

-- name: anonymous_hits
SELECT batch, type, actor, count FROM anonymous_hits WHERE account = ? AND batch = ?

-- name: batches_before
SELECT batch, created_at
FROM batches
WHERE account = ?1 AND (created_at, batch) < (?2, ?3)
ORDER BY created_at DESC, batch DESC
LIMIT ?4

-- name: messages_of_batch
SELECT message_id
FROM messages
WHERE account = ? AND batch = ? AND message_id > ?
ORDER BY message_id
LIMIT ?

-- name: messages_of_recipient
SELECT message_id
FROM messages
WHERE account = ? AND recipient = ? AND message_id > ?
ORDER BY message_id
LIMIT ?

-- name: messages_between
SELECT message_id
FROM messages
WHERE account = ? AND message_id >= ? AND message_id < ? AND message_id > ?
ORDER BY message_id
LIMIT ?

-- name: message_ids_after
SELECT message_id FROM messages WHERE account = ? AND message_id > ? ORDER BY message_id LIMIT ?

-- name: number_of_messages
SELECT count(*) FROM messages WHERE account = ?
