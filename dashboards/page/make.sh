#!/bin/sh
# Makes the dashboard's page: make.sh OUTPUT [strict]. Where that cannot be, OUTPUT becomes an empty file with a word
# about it, and the rest of the program builds; with `strict` it is a failure.
set -u
output=$1
strict=${2:-}
here=$(dirname "$0")
log=$(dirname "$output")/npm.log
mkdir -p "$(dirname "$output")"

without() {
    echo "  the dashboard's page is not built: $1" >&2
    rm -f "$output"
    [ -z "$strict" ] || exit 1
    : >"$output"
    exit 0
}

if [ -f "$here/../page.html" ]; then
    cp "$here/../page.html" "$output"
    exit 0
fi
command -v node >/dev/null && command -v npm >/dev/null || without "nodejs and npm are not installed"
echo "  NPM dashboards/page"
if [ ! -f "$here/node_modules/.package-lock.json" ] || [ "$here/package-lock.json" -nt "$here/node_modules/.package-lock.json" ]; then
    (cd "$here" && npm ci --ignore-scripts --no-audit --no-fund --fetch-retries=1 --fetch-timeout=30000) >"$log" 2>&1 ||
        without "npm ci failed, see $log; 'make page' tries again"
fi
(cd "$here" && node_modules/.bin/tsc --noEmit) >"$log" 2>&1 || { cat "$log" >&2; exit 1; }
node "$here/build.mjs" "$output.tmp" >"$log" 2>&1 || { cat "$log" >&2; exit 1; }
mv "$output.tmp" "$output"
