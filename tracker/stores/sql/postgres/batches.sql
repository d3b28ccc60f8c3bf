-- Counts of batches, and the messages that they are of.

-- name: add_batches
INSERT INTO tracker.batches (account, batch)
SELECT * FROM unnest($1::text[], $2::text[])
ON CONFLICT DO NOTHING

-- name: batch_counts_at
SELECT account, batch, measure, key, count
FROM tracker.batch_counts
JOIN unnest($1::text[], $2::text[], $3::text[], $4::text[]) AS k (account, batch, measure, key)
    USING (account, batch, measure, key)

-- name: add_batch_counts
INSERT INTO tracker.batch_counts AS c (account, batch, measure, key, count)
SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::bigint[])
ON CONFLICT (account, batch, measure, key) DO UPDATE SET count = c.count + excluded.count

-- name: batches_named
SELECT batch, created_at
FROM tracker.batches
JOIN unnest($1::text[], $2::text[]) AS k (account, batch) USING (account, batch)

-- name: batch_counts
SELECT batch, measure, key, count
FROM tracker.batch_counts
JOIN unnest($1::text[], $2::text[]) AS k (account, batch) USING (account, batch)
WHERE count <> 0

-- name: batch_counts_without_keys
SELECT batch, measure, key, count
FROM tracker.batch_counts
JOIN unnest($1::text[], $2::text[]) AS k (account, batch) USING (account, batch)
WHERE count <> 0 AND key = ''

-- name: anonymous_hits
SELECT batch, type, actor, count
FROM tracker.anonymous_hits
JOIN unnest($1::text[], $2::text[]) AS k (account, batch) USING (account, batch)

-- name: batches_before
SELECT batch, created_at
FROM tracker.batches
WHERE account = $1 AND (created_at, batch) < ($2, $3)
ORDER BY created_at DESC, batch DESC
LIMIT $4

-- name: messages_of_batch
SELECT message_id
FROM tracker.messages
WHERE account = $1 AND batch = $2 AND message_id > $3
ORDER BY message_id
LIMIT $4

-- name: messages_of_recipient
SELECT message_id
FROM tracker.messages
WHERE account = $1 AND recipient = $2 AND message_id > $3
ORDER BY message_id
LIMIT $4

-- name: messages_between
SELECT message_id
FROM tracker.messages
WHERE account = $1 AND message_id >= $2 AND message_id < $3 AND message_id > $4
ORDER BY message_id
LIMIT $5

-- name: message_ids_after
SELECT message_id FROM tracker.messages WHERE account = $1 AND message_id > $2 ORDER BY message_id LIMIT $3

-- name: number_of_messages
SELECT count(*) FROM tracker.messages WHERE account = $1
