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
case $keys in '' | /*) ;; *) keys=$PWD/$keys ;; esac
cd "$(dirname "$0")"
[ -n "$keys" ] || keys=$PWD/jwks.json
[ -r "$keys" ] || fail "NO KEYS" "$keys"
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT

url64() { base64 | tr -d '\n=' | tr '+/' '-_'; }
member() { printf '%s' "$2" | grep -o "\"$1\":\"[^\"]*\"" | head -n 1 | cut -d'"' -f4; }
digits() { case $1 in '') echo 99999999999999 ;; *) printf '%.19s' "$1" | tr -cd 0-9 ;; esac; }

# Per key and use: the only header allowed, kid, and the time window as digits; and the key as a file for openssl.
tr -d ' \t\r\n' < "$keys" | tr '{' '\n' | grep '"kid":"' > "$work/jwks" || fail "NO KEYS" "$keys" "not a key set"
while read -r jwk; do
  kid=$(member kid "$jwk")
  window="$kid $(digits "$(member af_not_before "$jwk")") $(digits "$(member af_not_after "$jwk")") $(digits "$(member af_revoked_at "$jwk")")"
  row() { echo "$1 $(printf '{"alg":"ES256","kid":"%s","typ":"%s","cty":"%s"}' "$kid" "$2" "$3" | url64) $window" >> "$work/keys"; }
  case $(member af_purpose "$jwk") in
    audit) row audit athena-fusion-audit+jws application/json ;;
    manifest) row manifest athena-fusion-manifest+jws application/vnd.in-toto+json
      row decisions athena-fusion-decisions+jws application/json ;;
    *) continue ;;
  esac
  # SubjectPublicKeyInfo of a P-256 key: a fixed head, then the point
  { printf '\060\131\060\023\006\007\052\206\110\316\075\002\001\006\010\052\206\110\316\075\003\001\007\003\102\000\004'
    for part in x y; do printf '%s=' "$(member "$part" "$jwk")" | tr -- '-_' '+/' | base64 -d; done
  } > "$work/der"
  openssl pkey -pubin -inform DER -in "$work/der" -out "$work/$kid.pem" 2>/dev/null || fail "NO KEYS" "$keys" "bad key $kid"
done < "$work/jwks"
[ -r "$work/keys" ] || fail "NO KEYS" "$keys" "no key for manifests"

# signed FILE USE TIME: some trusted key may make such a signature at that time, and it matches the file's bytes.
signed() {
  [ -r "$1" ] || fail "MISSING" "$1"
  [ -r "$1.jws" ] || fail "MISSING" "$1.jws"
  IFS= read -r jws < "$1.jws" || :
  protected=${jws#*'"protected":"'}; protected=${protected%%'"'*}
  signature=${jws#*'"signature":"'}; signature=${signature%%'"'*}
  found=
  while read -r use header kid since until revoked; do
    if [ "$use $header" = "$2 $protected" ] && [ "$3" -ge "$since" ] && [ "$3" -le "$until" ] &&
      [ "$3" -lt "$revoked" ]; then found=$kid; fi
  done < "$work/keys" 2>/dev/null
  [ -n "$found" ] || fail "BAD SIGNATURE" "$1" "no trusted key may sign it with this header at this time"
  # The signature is r and s side by side; openssl wants them as a DER sequence
  rs=$(printf '%s==' "$signature" | tr -- '-_' '+/' | base64 -d 2>/dev/null | od -An -v -tx1 | tr -d ' \n')
  [ ${#rs} -eq 128 ] || fail "BAD SIGNATURE" "$1" "it does not match the bytes"
  r=$(printf '%.64s' "$rs")
  printf 'asn1=SEQUENCE:rs\n[rs]\nr=INTEGER:0x%s\ns=INTEGER:0x%s\n' "$r" "${rs#"$r"}" > "$work/rs"
  openssl asn1parse -genconf "$work/rs" -noout -out "$work/sig" >/dev/null 2>&1
  { printf '%s.' "$protected"; url64 < "$1"; } > "$work/input"
  openssl dgst -sha256 -verify "$work/$found.pem" -signature "$work/sig" "$work/input" >/dev/null 2>&1 ||
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
awk '
  function after(mark, i) { i = index($0, mark); return i ? substr($0, i + length(mark)) : "" }
  function named(kind, text, p) {
    if (!match(text, /"sha256":"[0-9a-f]+"},"name":"[^"]*"/)) return
    split(substr(text, RSTART, RLENGTH), p, "\""); print kind, FILENAME, p[4], p[8]
  }
  {
    at = substr(after("\"createdAt\":\""), 1, 19); gsub(/[^0-9]/, "", at); print "at", FILENAME, at
    list = after("\"prev\":["); n = split(substr(list, 1, index(list, "]")), items, "},{")
    for (i = 1; i <= n; i++) named("prev", items[i])
    n = split(after("\"predicateType\":\"https://athena-fusion.dev/manifest/v1\",\"subject\":["), items, "},{")
    for (i = 1; i <= n; i++) if (index(items[i], "\"carried\":\"pack\"")) named("sub", items[i])
  }' */*/manifests/*.json > "$work/facts"

# 1. signatures
sha256sum -- */*/manifests/*.json > "$work/here"
while read -r _ m; do
  at=$(awk -v m="$m" '$1 == "at" && $2 == m { print $3; exit }' "$work/facts")
  signed "$m" manifest "$at"
  [ "$m" != "$pack" ] || created=$at
done < "$work/here"
at=
[ ! -r audit/checkpoint.json ] || at=$(digits "$(member ts "$(cat audit/checkpoint.json)")")
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
cut -d' ' -f1 "$work/here" > "$work/known"
sed 's/.*"manifests":\[\([^]]*\)\].*/\1/' external.json | grep -o '"sha256":"[0-9a-f]*"' | cut -d'"' -f4 >> "$work/known"
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
