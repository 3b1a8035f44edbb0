-- A checkpoint's threshold of a label; see `decision.threshold_in`.
CREATE FUNCTION threshold_in(thresholds text, label text) RETURNS double precision
LANGUAGE sql IMMUTABLE AS $$ SELECT (thresholds::json ->> label)::double precision $$;


-- Whether a label of a task says that nothing was found; see `decision.is_negative`.
CREATE FUNCTION is_negative(label text, task text) RETURNS boolean LANGUAGE sql IMMUTABLE AS $$
  SELECT task = 'single' AND lower(label) IN ('none', 'background', 'noise', 'silence')
$$;


-- What a person says, with one word for nothing; see `decision.human_text`.
CREATE FUNCTION human_text(said text) RETURNS text LANGUAGE sql IMMUTABLE AS $$
  SELECT CASE WHEN said IS NULL THEN NULL ELSE coalesce(
    (SELECT string_agg(DISTINCT label COLLATE "C", ';' ORDER BY label COLLATE "C")
     FROM (SELECT btrim(one) AS label FROM unnest(string_to_array(said, ';')) AS one) AS each
     WHERE label <> '' AND NOT is_negative(label, 'single')), 'none') END
$$;


-- A float16, little-endian, at a byte.
CREATE FUNCTION half_at(packed bytea, at bigint) RETURNS double precision
LANGUAGE sql IMMUTABLE AS $$
  SELECT CASE WHEN exponent = 0 THEN mantissa * 2.0::double precision ^ -24
    ELSE (1 + mantissa / 1024.0::double precision) * 2.0::double precision ^ (exponent - 15) END
  FROM (SELECT bits & 1023 AS mantissa, (bits >> 10) & 31 AS exponent
    FROM (SELECT get_byte(packed, at::int) + 256 * get_byte(packed, at::int + 1) AS bits) AS two
  ) AS parts
$$;


-- What is told of a part, NULL where no clip lies in it; see `ClipScores.decide`.
CREATE FUNCTION told_of_part(
  names text[], packed bytea, clip_s double precision, hop_s double precision, task text,
  own text, rules json, start_s double precision, end_s double precision
) RETURNS text LANGUAGE sql IMMUTABLE AS $$
  WITH clip AS (
    SELECT at, least(at * hop_s + clip_s, end_s) - greatest(at * hop_s, start_s) AS shared
    FROM generate_series(
      greatest(0, floor((start_s - clip_s) / hop_s)::bigint + 1),
      length(packed) / nullif(2 * cardinality(names), 0) - 1) AS at
    WHERE at * hop_s < end_s
  ), score AS (
    SELECT at, shared, number, half_at(packed, 2 * (at * cardinality(names) + number - 1)) AS score
    FROM clip, generate_series(1, cardinality(names)) AS number
  ), best AS (
    SELECT DISTINCT ON (at) at, shared, number, score FROM score ORDER BY at, score DESC, number
  ), commonest AS (
    SELECT number, round(sum(shared)::numeric, 6) AS seconds, max(score) AS score
    FROM best GROUP BY number ORDER BY seconds DESC, score DESC, min(at) LIMIT 1
  ), within AS (
    SELECT at FROM clip WHERE shared >= clip_s / 2
    UNION ALL (
      SELECT at FROM clip WHERE NOT EXISTS (SELECT FROM clip WHERE shared >= clip_s / 2)
      ORDER BY shared DESC, at LIMIT 1)
  ), candidate AS (
    SELECT names[number] AS label, score FROM commonest WHERE task = 'single'
    UNION ALL
    SELECT names[number], max(score) FROM score WHERE task = 'multi' AND at IN (SELECT at FROM within)
    GROUP BY number HAVING max(score) >= 0.05
  ), above AS (
    SELECT label FROM candidate WHERE score >= coalesce(
      (SELECT (one ->> 1)::double precision FROM json_array_elements(rules -> 0) AS one
       WHERE one ->> 0 = label LIMIT 1),
      threshold_in(own, label),
      CASE task WHEN 'multi' THEN 0.5 ELSE (rules ->> 1)::double precision END)
  )
  SELECT CASE WHEN NOT EXISTS (SELECT FROM clip) THEN NULL ELSE coalesce(
    (SELECT string_agg(label COLLATE "C", ';' ORDER BY label COLLATE "C") FROM above
     WHERE NOT is_negative(label, task)),
    CASE WHEN task = 'multi' OR EXISTS (SELECT FROM above) THEN 'none' ELSE 'unknown' END) END
$$;


-- 1 where of any part something else is said than its clips were answered; see `is_part_wrong`.
CREATE FUNCTION is_part_wrong(
  labels text, packed bytea, clip_s double precision, hop_s double precision, task text,
  own text, parts text, rules text
) RETURNS integer LANGUAGE sql IMMUTABLE AS $$
  SELECT CASE WHEN bool_or(told_of_part(
      ARRAY(SELECT json_array_elements_text(labels::json)), packed, clip_s, hop_s, task, own,
      rules::json, (part ->> 'start_s')::double precision,
      coalesce((part ->> 'end_s')::double precision, 'infinity'))
    IS DISTINCT FROM human_text(part ->> 'label')) THEN 1 ELSE 0 END
  FROM json_array_elements(parts::json) AS part
$$;
