#!/bin/sh
# Checks this evidence pack offline. Needs: jose, jq, sha256sum.
# usage: sh verify.sh [trusted-jwks.json]     (without it the pack's own jwks.json is used, which proves less)
set -eu
LC_ALL=C; export LC_ALL

fail() { echo "$1 $2${3:+: $3}" >&2; exit 1; }
for tool in jose jq sha256sum; do
  command -v "$tool" >/dev/null || { echo "this script needs $tool" >&2; exit 2; }
done
keys=${1:-}
case $keys in '') ;; /*) ;; *) keys=$PWD/$keys ;; esac
cd "$(dirname "$0")"
[ -n "$keys" ] || keys=$PWD/jwks.json
[ -r "$keys" ] || fail "NO KEYS" "$keys"
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT

digest() { sha256sum < "$1" | cut -d' ' -f1; }

# signed FILE TYP CTY PURPOSE TIME: the header must be the one allowed form, made of the kid of a key that may sign
# such a thing at that time; then the signature must match the file's bytes.
signed() {
  [ -r "$1" ] || fail "MISSING" "$1"
  [ -r "$1.jws" ] || fail "MISSING" "$1.jws"
  jq -e --arg typ "$2" --arg cty "$3" --arg use "$4" --arg at "$5" --slurpfile sig "$1.jws" '
    def url64: @base64 | gsub("\\+"; "-") | gsub("/"; "_") | rtrimstr("=") | rtrimstr("=");
    [.keys[] | . as $key
     | select(.af_purpose == $use and
              ("{\"alg\":\"ES256\",\"kid\":\"\($key.kid)\",\"typ\":\"\($typ)\",\"cty\":\"\($cty)\"}" | url64)
              == $sig[0].protected)]
    | first // empty | select(.af_not_before != null and .af_not_before[0:19] <= $at[0:19]
      and (.af_not_after == null or $at[0:19] <= .af_not_after[0:19])
      and (.af_revoked_at == null or $at[0:19] < .af_revoked_at[0:19]))
    | {kty, crv, x, y}' "$keys" > "$work/key" 2>/dev/null ||
    fail "BAD SIGNATURE" "$1" "no trusted $4 key for this signature and time"
  jose jws ver -i "$1.jws" -I "$1" -k "$work/key" 2>/dev/null || fail "BAD SIGNATURE" "$1" "it does not match the bytes"
}

# listed WHAT < "digest  name" lines: every named file is here with that digest.
listed() {
  while read -r want name; do
    [ -r "$name" ] || fail "MISSING" "$name" "$1"
    [ "$(digest "$name")" = "$want" ] || fail "BAD PAYLOAD" "$name" "$1"
  done
}

set -- _day/evidence/manifests/*-pack.a*.json
[ $# -eq 1 ] && [ -r "$1" ] || fail "NOT ONE PACK MANIFEST" "_day/evidence/manifests"
pack=$1
created=$(jq -r .predicate.createdAt "$pack") || fail "BAD SIGNATURE" "$pack" "not JSON"

# 1. signatures
for m in */*/manifests/*.json; do
  at=$(jq -er .predicate.createdAt "$m" 2>/dev/null) || fail "BAD SIGNATURE" "$m" "not a manifest"
  signed "$m" athena-fusion-manifest+jws application/vnd.in-toto+json manifest "$at"
  echo "$(digest "$m") $m" >> "$work/here"
  jq -r '.predicate.prev[].digest.sha256' "$m" >> "$work/followed"
done
at=$(jq -er .ts audit/checkpoint.json 2>/dev/null) || fail "BAD SIGNATURE" audit/checkpoint.json "not a checkpoint"
signed audit/checkpoint.json athena-fusion-audit+jws application/json audit "$at"
signed decisions.json athena-fusion-decisions+jws application/json manifest "$created"

# 2. chain: every predecessor is here or declared external, every manifest is followed up to the pack
jq -r '.subject[] | select(.name == "external.json") | "\(.digest.sha256)  \(.name)"' "$pack" | listed "signed by $pack"
cut -d' ' -f1 "$work/here" > "$work/known"
jq -r '.manifests[].sha256' external.json >> "$work/known"
for m in */*/manifests/*.json; do
  jq -r '.predicate.prev[] | "\(.digest.sha256) \(.name)"' "$m" | while read -r sha name; do
    grep -qx "$sha" "$work/known" || fail "BROKEN CHAIN" "$m" "its predecessor $name is not here"
  done
done
while read -r sha m; do
  [ "$m" = "$pack" ] || grep -qx "$sha" "$work/followed" || fail "BROKEN CHAIN" "$m" "nothing follows it"
done < "$work/here"

# 3. payloads of the stages, then every file of the pack, then the list of sums, then nothing else
for m in */*/manifests/*.json; do
  [ "$m" = "$pack" ] || jq -r --arg dir "${m%/manifests/*}/payload" '.subject[] |
    select(.annotations.carried == "pack") | "\(.digest.sha256)  \($dir)/\(.name)"' "$m" | listed "signed by $m"
done
jq -r '.subject[] | "\(.digest.sha256)  \(.name)"' "$pack" > "$work/listed"
listed "signed by $pack" < "$work/listed"
sha256sum -c --quiet --strict SHA256SUMS >/dev/null 2>&1 || fail "BAD SUMS" SHA256SUMS
{ sed 's/^[0-9a-f]*  //' "$work/listed"; echo "$pack"; echo "$pack.jws"; } | sort > "$work/names"
find . ! -type d | sed 's|^\./||' | sort > "$work/found"
extra=$(comm -13 "$work/names" "$work/found" | head -n 1)
[ -z "$extra" ] || fail "UNEXPECTED FILE" "$extra"

echo "OK $(wc -l < "$work/here" | tr -d ' ') manifests, $(wc -l < "$work/found" | tr -d ' ') files, head $(digest "$pack")"
[ "$keys" != "$PWD/jwks.json" ] || echo "checked with the pack's own keys: compare their kid with one received another way"
