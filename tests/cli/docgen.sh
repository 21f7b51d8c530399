#!/bin/sh
# docgen.sh FOLDER LLAMAIPC - what is written out of the option table: the manual page is valid roff, each shell takes its
# completions (those shells that are here), bash completes what it should, and each option of each command's help stands in
# all of them.
set -eu
folder=$(cd "$1" && pwd)
program=$2
fail() { echo "$*"; exit 1; }

if command -v man >/dev/null 2>&1; then
    warnings=$(MANROFFSEQ= man --warnings -l "$folder/llamaipc.1" 2>&1 >/dev/null)
    [ -z "$warnings" ] || fail "the manual page: $warnings"
fi
for shell in bash zsh fish; do
    ! command -v $shell >/dev/null 2>&1 || $shell -n "$folder/llamaipc.$shell" || fail "$shell does not take its completions"
done

options=$(for command in $("$program" --help | sed -n 's/^  \([a-z]*\) .*/\1/p'); do
    "$program" "$command" --help | tr ' ' '\n' | sed -n 's/^\(--[a-z-]*\),\{0,1\}$/\1/p'
done | sort -u)
n=0
for option in $options; do
    n=$((n + 1))
    grep -q -e "$option" "$folder/llamaipc.bash" || fail "bash does not know $option"
    grep -q -e "$option\[" "$folder/llamaipc.zsh" || fail "zsh does not know $option"
    grep -q -e "-l ${option#--} " "$folder/llamaipc.fish" || fail "fish does not know $option"
    grep -q -e "$(printf '%s' "$option" | sed 's/-/\\\\-/g')" "$folder/llamaipc.1" || fail "the manual page does not know $option"
done
[ $n -gt 30 ] || fail "only $n options were found in the help"

command -v bash >/dev/null 2>&1 || { echo "skipped the rest: no bash"; exit 0; }
# complete WORD... - what is offered for the last one
complete() {
    bash -c '. "$0"; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _llamaipc; echo ${COMPREPLY[@]}' "$folder/llamaipc.bash" "$@"
}
expect() { [ "$1" = "$2" ] || fail "completed to '$1', expected '$2'"; }
expect "$(complete llamaipc sta)" status
expect "$(complete llamaipc ask --te)" "--temp --temperature"
expect "$(complete llamaipc --name x ask --no-s)" --no-stream
expect "$(complete llamaipc status --temp)" ""
expect "$(complete llamaipc status --wa)" --wait
expect "$(cd "$folder" && complete llamaipc load llamaipc.ba)" llamaipc.bash
grep -q "_files'" "$folder/llamaipc.zsh" && grep -q "from load' -F" "$folder/llamaipc.fish" || fail "load does not complete files"
expect "$(complete llamaipc ask --temp '')" ""
expect "$(cd "$folder" && complete llamaipc ask -m llamaipc.ba)" llamaipc.bash
