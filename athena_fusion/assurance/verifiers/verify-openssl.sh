#!/bin/sh
# Checks this evidence pack offline without any JSON or JOSE tool. Needs: openssl, awk, sed, grep, coreutils.
# usage: sh verify-openssl.sh [trusted-jwks.json]     (without it the pack's own jwks.json is used: proves less)
# Manifests are RFC 8785 JSON: one line, members sorted, quotes inside texts escaped. So the marks looked for below
# cannot stand inside a text.
set -eu
LC_ALL=C; export LC_ALL

fail() { echo "$1 $2${3:+: $3}" >&2; exit 1; }
for tool in openssl awk sed grep sha256sum base64 od; do
  command -v "$tool" >/dev/null || { echo "this script needs $tool" >&2; exit 2; }
done
keys=${1:-}
case $keys in '') ;; /*) ;; *) keys=$PWD/$keys ;; esac
cd "$(dirname "$0")"
[ -n "$keys" ] || keys=$PWD/jwks.json
[ -r "$keys" ] || fail "NO KEYS" "$keys"
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT

digest() { sha256sum < "$1" | cut -d' ' -f1; }
url64() { base64 | tr -d '\n=' | tr '+/' '-_'; }
unurl64() { # pads by length
  text=$(cat | tr -- '-_' '+/')
  case $((${#text} % 4)) in 2) text=$text== ;; 3) text=$text= ;; esac
  printf '%s' "$text" | base64 -d
}
member() { grep -o "\"$1\":\"[^\"]*\"" | head -n 1 | cut -d'"' -f4; }
# between START END FILE: the text after the first START up to the next END
between() { awk -v s="$1" -v e="$2" '{ i = index($0, s); if (!i) exit; t = substr($0, i + length(s)); j = index(t, e); if (j) t = substr(t, 1, j - 1); print t; exit }' "$3"; }
created() { between '"createdAt":"' '"' "$1"; }
# links FILE: "digest name" of every predecessor
links() { between '"prev":[' ']' "$1" | grep -o '"sha256":"[0-9a-f]*"},"name":"[^"]*"' | awk -F'"' '{ print $4, $8 }'; }
# subjects FILE CARRIED DIR: "digest  dir/name" of the subjects so marked
subjects() {
  between '"predicateType":"https://athena-fusion.dev/manifest/v1","subject":[' '^' "$1" |
    grep -o "\"carried\":\"$2\"[^}]*},\"digest\":{\"sha256\":\"[0-9a-f]*\"},\"name\":\"[^\"]*\"" |
    sed "s|.*\"sha256\":\"\([0-9a-f]*\)\"},\"name\":\"\([^\"]*\)\"|\1  $3\2|"
}
not_after() { [ "$(printf '%.19s\n%.19s\n' "$1" "$2" | sort | head -n 1)" = "$(printf '%.19s' "$1")" ]; }

# One line per key of the key set, whatever its layout
tr -d ' \t\r\n' < "$keys" | tr '{' '\n' | grep '"kid":"' > "$work/keys" || fail "NO KEYS" "$keys"

# signed FILE TYP CTY PURPOSE TIME: the header must be the one allowed form, made of the kid of a key that may sign
# such a thing at that time; then the signature must match the file's bytes.
signed() {
  [ -r "$1" ] || fail "MISSING" "$1"
  [ -r "$1.jws" ] || fail "MISSING" "$1.jws"
  protected=$(member protected < "$1.jws"); signature=$(member signature < "$1.jws")
  kid=$(printf '%s' "$protected" | unurl64 2>/dev/null | member kid) || kid=
  header="{\"alg\":\"ES256\",\"kid\":\"$kid\",\"typ\":\"$2\",\"cty\":\"$3\"}"
  [ "$(printf '%s' "$header" | url64)" = "$protected" ] || fail "BAD SIGNATURE" "$1" "its header is not the one allowed"
  jwk=$(grep -F "\"kid\":\"$kid\"" "$work/keys" | grep -F "\"af_purpose\":\"$4\"" | head -n 1)
  since=$(printf '%s' "$jwk" | member af_not_before); until=$(printf '%s' "$jwk" | member af_not_after)
  revoked=$(printf '%s' "$jwk" | member af_revoked_at)
  if [ -z "$since" ] || ! not_after "$since" "$5" || { [ -n "$until" ] && ! not_after "$5" "$until"; } ||
    { [ -n "$revoked" ] && not_after "$revoked" "$5"; }; then
    fail "BAD SIGNATURE" "$1" "no trusted $4 key for this signature and time"
  fi
  # SubjectPublicKeyInfo of a P-256 key: a fixed head, then the point
  { printf '\060\131\060\023\006\007\052\206\110\316\075\002\001\006\010\052\206\110\316\075\003\001\007\003\102\000\004'
    printf '%s' "$jwk" | member x | tr -d '\n' | unurl64; printf '%s' "$jwk" | member y | tr -d '\n' | unurl64
  } > "$work/key.der"
  openssl pkey -pubin -inform DER -in "$work/key.der" -out "$work/key.pem" 2>/dev/null || fail "BAD KEY" "$kid"
  # The signature is r and s side by side; openssl wants them as a DER sequence
  rs=$(printf '%s' "$signature" | unurl64 2>/dev/null | od -An -v -tx1 | tr -d ' \n')
  [ ${#rs} -eq 128 ] || fail "BAD SIGNATURE" "$1" "it is not 64 bytes long"
  printf 'asn1=SEQUENCE:rs\n[rs]\nr=INTEGER:0x%.64s\ns=INTEGER:0x%s\n' "$rs" "${rs#????????????????????????????????????????????????????????????????}" > "$work/rs"
  openssl asn1parse -genconf "$work/rs" -noout -out "$work/sig" >/dev/null 2>&1 || fail "BAD SIGNATURE" "$1"
  { printf '%s.' "$protected"; url64 < "$1"; } > "$work/input"
  openssl dgst -sha256 -verify "$work/key.pem" -signature "$work/sig" "$work/input" >/dev/null 2>&1 ||
    fail "BAD SIGNATURE" "$1" "it does not match the bytes"
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

# 1. signatures
for m in */*/manifests/*.json; do
  signed "$m" athena-fusion-manifest+jws application/vnd.in-toto+json manifest "$(created "$m")"
  echo "$(digest "$m") $m" >> "$work/here"
  links "$m" | cut -d' ' -f1 >> "$work/followed"
done
signed audit/checkpoint.json athena-fusion-audit+jws application/json audit "$(member ts < audit/checkpoint.json)"
signed decisions.json athena-fusion-decisions+jws application/json manifest "$(created "$pack")"

# 2. chain: every predecessor is here or declared external, every manifest is followed up to the pack
subjects "$pack" pack '' > "$work/listed"
grep '  external\.json$' "$work/listed" | listed "signed by $pack"
cut -d' ' -f1 "$work/here" > "$work/known"
between '"manifests":[' ']' external.json | grep -o '"sha256":"[0-9a-f]*"' | cut -d'"' -f4 >> "$work/known" || true
for m in */*/manifests/*.json; do
  links "$m" | while read -r sha name; do
    grep -qx "$sha" "$work/known" || fail "BROKEN CHAIN" "$m" "its predecessor $name is not here"
  done
done
while read -r sha m; do
  [ "$m" = "$pack" ] || grep -qx "$sha" "$work/followed" || fail "BROKEN CHAIN" "$m" "nothing follows it"
done < "$work/here"

# 3. payloads of the stages, then every file of the pack, then the list of sums, then nothing else
for m in */*/manifests/*.json; do
  [ "$m" = "$pack" ] || subjects "$m" pack "${m%/manifests/*}/payload/" | listed "signed by $m"
done
listed "signed by $pack" < "$work/listed"
sha256sum -c --quiet --strict SHA256SUMS >/dev/null 2>&1 || fail "BAD SUMS" SHA256SUMS
{ sed 's/^[0-9a-f]*  //' "$work/listed"; echo "$pack"; echo "$pack.jws"; } | sort > "$work/names"
find . ! -type d | sed 's|^\./||' | sort > "$work/found"
extra=$(comm -13 "$work/names" "$work/found" | head -n 1)
[ -z "$extra" ] || fail "UNEXPECTED FILE" "$extra"

echo "OK $(wc -l < "$work/here" | tr -d ' ') manifests, $(wc -l < "$work/found" | tr -d ' ') files, head $(digest "$pack")"
[ "$keys" != "$PWD/jwks.json" ] || echo "checked with the pack's own keys: compare their kid with one received another way"
