#!/bin/sh
# Checks this evidence pack offline. Needs: jose, jq, awk, coreutils.
# usage: sh verify.sh [trusted-jwks.json]     (without it the pack's own jwks.json is used, which proves less)
set -eu
LC_ALL=C; export LC_ALL
fail() { echo "$1 $2${3:+: $3}" >&2; exit 1; }
for tool in jose jq awk sha256sum; do
  command -v "$tool" >/dev/null || { echo "this script needs $tool" >&2; exit 2; }
done
keys=${1:-}
case $keys in '' | /*) ;; *) keys=$PWD/$keys ;; esac
cd "$(dirname "$0")"
[ -n "$keys" ] || keys=$PWD/jwks.json
[ -r "$keys" ] || fail "NO KEYS" "$keys"
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT

# Per key and use: the only header allowed, kid, and the time window as digits.
jq -r '
  def url64: @base64 | gsub("\\+"; "-") | gsub("/"; "_") | rtrimstr("=") | rtrimstr("=");
  def digits(absent): if . == null then absent else .[0:19] | gsub("[^0-9]"; "") end;
  .keys[] | . as $key
  | if .af_purpose == "audit" then ["audit", "athena-fusion-audit+jws", "application/json"]
    elif .af_purpose == "manifest" then
      ["manifest", "athena-fusion-manifest+jws", "application/vnd.in-toto+json"],
      ["decisions", "athena-fusion-decisions+jws", "application/json"]
    else empty end
  | "\(.[0]) \("{\"alg\":\"ES256\",\"kid\":\"\($key.kid)\",\"typ\":\"\(.[1])\",\"cty\":\"\(.[2])\"}" | url64) " +
    "\($key.kid) \($key.af_not_before | digits("99999999999999")) \($key.af_not_after | digits("99999999999999")) " +
    "\($key.af_revoked_at | digits("99999999999999")) \($key | {kty, crv, x, y} | tojson)"' "$keys" > "$work/keys" ||
  fail "NO KEYS" "$keys" "not a key set"

# signed FILE USE TIME: some trusted key may make such a signature at that time, and it matches the file's bytes.
signed() {
  [ -r "$1" ] || fail "MISSING" "$1"
  [ -r "$1.jws" ] || fail "MISSING" "$1.jws"
  IFS= read -r jws < "$1.jws" || :
  protected=${jws#*'"protected":"'}; protected=${protected%%'"'*}
  found=
  while read -r use header kid since until revoked jwk; do
    if [ "$use $header" = "$2 $protected" ] && [ "$3" -ge "$since" ] && [ "$3" -le "$until" ] &&
      [ "$3" -lt "$revoked" ]; then found=$jwk; fi
  done < "$work/keys" 2>/dev/null
  [ -n "$found" ] || fail "BAD SIGNATURE" "$1" "no trusted key may sign it with this header at this time"
  printf '%s' "$found" > "$work/key"
  # "./" because jose takes a name of three dotted parts for a signature
  jose jws ver -i "./$1.jws" -I "./$1" -k "$work/key" 2>/dev/null ||
    fail "BAD SIGNATURE" "$1" "it does not match the bytes"
}

# checked LIST: files have the digests listed, else the first that has not is named with the manifest that signed it.
checked() {
  sha256sum -c --quiet --strict "$1" > "$work/bad" 2>/dev/null && return
  line=$(head -n 1 "$work/bad"); name=${line%: FAILED*}
  signer=$(awk -v n="$name" '$2 == n { print $3; exit }' "$work/signers")
  [ -r "$name" ] || fail "MISSING" "$name" "signed by $signer"
  fail "BAD PAYLOAD" "$name" "signed by $signer"
}

set -- _day/evidence/manifests/*-pack.a*.json
[ $# -eq 1 ] && [ -r "$1" ] || fail "NOT ONE PACK MANIFEST" "_day/evidence/manifests"
pack=$1

# Facts of all manifests: at FILE TIME | prev FILE SHA256 NAME | sub FILE SHA256 NAME
jq -r 'input_filename as $file | "at \($file) \(.predicate.createdAt[0:19] | gsub("[^0-9]"; ""))",
  (.predicate.prev[] | "prev \($file) \(.digest.sha256) \(.name)"),
  (.subject[] | select(.annotations.carried == "pack") | "sub \($file) \(.digest.sha256) \(.name)")' \
  */*/manifests/*.json > "$work/facts" 2>/dev/null || for m in */*/manifests/*.json; do
    jq -e .predicate.createdAt,.predicate.prev,.subject "$m" >/dev/null 2>&1 ||
      fail "BAD SIGNATURE" "$m" "it is not even a manifest"
  done

# 1. signatures
sha256sum -- */*/manifests/*.json > "$work/here"
while read -r _ m; do
  at=$(awk -v m="$m" '$1 == "at" && $2 == m { print $3; exit }' "$work/facts")
  signed "$m" manifest "$at"
  [ "$m" != "$pack" ] || created=$at
done < "$work/here"
at=$(jq -r '.ts[0:19] | gsub("[^0-9]"; "")' audit/checkpoint.json 2>/dev/null) || at=
signed audit/checkpoint.json audit "$at"
signed decisions.json decisions "$created"

# 2. chain: every predecessor is here or declared external, every manifest is followed up to the pack
awk -v pack="$pack" '$1 == "sub" { dir = $2; sub("/manifests/.*", "/payload/", dir); if ($2 == pack) dir = ""
  print $3 "  " dir $4, $2 }' "$work/facts" | awk -v pack="$pack" '$3 == pack { last[++n] = $0; next } 1
  END { for (i = 1; i <= n; i++) print last[i] }' > "$work/signers"
awk '{ print $1 "  " $2 }' "$work/signers" | awk '!seen[$0]++' > "$work/sums"
awk -v pack="$pack" '$3 == pack { print $1 "  " $2 }' "$work/signers" > "$work/listed"
grep '  external\.json$' "$work/listed" > "$work/external" || fail "MISSING" external.json "in $pack"
checked "$work/external"
{ cut -d' ' -f1 "$work/here"; jq -r '.manifests[].sha256' external.json; } > "$work/known"
broken=$(awk 'NR == FNR { known[$1]; next } $1 == "prev" && !($3 in known) { print $2, $4; exit }' "$work/known" "$work/facts")
[ -z "$broken" ] || fail "BROKEN CHAIN" "${broken% *}" "its predecessor ${broken#* } is not here"
loose=$(awk -v pack="$pack" 'NR == FNR { if ($1 == "prev") followed[$3]; next }
  $2 != pack && !($1 in followed) { print $2; exit }' "$work/facts" "$work/here")
[ -z "$loose" ] || fail "BROKEN CHAIN" "$loose" "nothing follows it"

# 3. payloads of the stages and every file of the pack, the list of sums, and nothing else
checked "$work/sums"
grep -v '  SHA256SUMS$' "$work/listed" | sort > "$work/expected"
sort SHA256SUMS | cmp -s - "$work/expected" || fail "BAD SUMS" SHA256SUMS "it does not list the files of the pack"
{ awk '{ print $2 }' "$work/listed"; echo "$pack"; echo "$pack.jws"; } | sort > "$work/names"
find . ! -type d | sed 's|^\./||' | sort > "$work/found"
extra=$(comm -13 "$work/names" "$work/found" | head -n 1)
[ -z "$extra" ] || fail "UNEXPECTED FILE" "$extra"

head=$(awk -v pack="$pack" '$2 == pack { print $1 }' "$work/here")
echo "OK $(awk 'END { print NR }' "$work/here") manifests, $(awk 'END { print NR }' "$work/found") files, head $head"
[ "$keys" != "$PWD/jwks.json" ] || echo "checked with the pack's own keys: compare their kid with one received another way"
