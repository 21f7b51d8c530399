#!/bin/sh
# readme_examples.sh README LLAMAIPC CHECKOUT - runs the commands of README's section "In a terminal" as they stand there, each
# of which must end with 0, one after the other, with an instance of their own.
set -eu
readme=$1
program=$2
cd "$3"
folder=$(mktemp -d)
LIPC_NAME=lipctest$$_readme
XDG_STATE_HOME=$folder
export LIPC_NAME XDG_STATE_HOME
PATH=$(dirname "$program"):$PATH
trap '"$program" stop >/dev/null 2>&1 || true; rm -rf "$folder"' EXIT
trap 'exit 1' HUP INT TERM

awk '/^## /{ours = ($0 == "## In a terminal")} ours && /^```/{inside = !inside; next} ours && inside' "$readme" >"$folder/commands"
n=$(grep -c llamaipc "$folder/commands") || { echo "README shows no command"; exit 1; }
while read -r line; do
    line=$(printf '%s' "$line" | sed "s|> answer.txt|> $folder/answer.txt|")
    echo "\$ $line"
    sh -c "$line" </dev/null >"$folder/out" 2>"$folder/err" || { echo "ended with $?:"; cat "$folder/out" "$folder/err"; exit 1; }
    case $line in *' ask '*'> '*) [ -s "$folder/answer.txt" ] ;; *' --tools '*) grep -q 'calls calculate' "$folder/err" ;; *' stop'*) ;; *) [ -s "$folder/out" ] ;; esac ||
        { echo "it wrote nothing"; cat "$folder/err"; exit 1; }
done <"$folder/commands"
[ "$n" -ge 6 ]
for object in /dev/shm/*"$LIPC_NAME"*; do [ ! -e "$object" ] || { echo "left over: $object"; exit 1; }; done
