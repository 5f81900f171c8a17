#!/usr/bin/env bash
# Runs every test program of a build, two at a time, and adds up what they say.
#   tests/run.sh build/release [NAME...]     only programs whose path holds a NAME
set -u
out=$1
shift
export ZEROTH="$PWD/$out/zeroth" ZEROTH_SHARED="${ZEROTH_SHARED:-$PWD/../shared}"
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMPI_MCA_rmaps_base_oversubscribe=1
export OMP_NUM_THREADS=1
# What MPI and its helpers leave allocated at exit is not ours; everything else counts.
export LSAN_OPTIONS="suppressions=$PWD/tests/leaks.txt:print_suppressions=0" UBSAN_OPTIONS=print_stacktrace=1

one() {
    program=$1
    log=$program.log
    name=${program#*/tests/}
    start=$(date +%s)
    timeout 1500 "$program" >"$log" 2>&1
    code=$?
    line=$(grep -E '^[0-9]+ passed, [0-9]+ failed' "$log" | tail -n 1)
    if [ -z "$line" ] || { [ $code -ne 0 ] && [[ "$line" == *" 0 failed"* ]]; }; then
        line="0 passed, 1 failed, 0 skipped"
        echo "ended with $code" >>"$log"
    fi
    printf '%-44s %s (%ds)\n' "$name" "$line" $(($(date +%s) - start))
    [[ "$line" == *" 0 failed"* ]] || sed 's/^/    /' "$log" | tail -n 40
    grep -h '^  skip:' "$log"
    echo "$line" >"$program.result"
}
export -f one

programs=$(find tests -name 'test_*.c' | sort | sed "s|^tests/\(.*\)\.c$|$out/tests/\1|")
[ $# -eq 0 ] || programs=$(grep -F -- "$(printf '%s\n' "$@")" <<<"$programs")
for program in $programs; do rm -f "$program.result"; done
xargs -P 2 -I{} bash -c 'one {}' <<<"$programs"
cat $(sed 's/$/.result/' <<<"$programs") 2>/dev/null | awk '
    { passed += $1; failed += $3; skipped += $5 }
    END { printf "%d passed, %d failed, %d skipped\n", passed, failed, skipped; exit failed > 0 || passed == 0 }'
