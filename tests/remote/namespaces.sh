#!/bin/bash
# namespaces.sh CHATBOT LLAMAIPC LLAMA_SERVER MODEL - two real llama-servers, each in a network namespace of its own behind nginx with TLS,
# and a host that asks them: the texts of direct requests with the same seed; one killed, one whose network is cut. Skipped (77) where
# namespaces are not allowed, or nginx, openssl, curl, ip or llama-server are missing.
set -u
chatbot=$1 llamaipc=$2 server=$3 model=$4
skip() { echo "skipped: $*"; exit 77; }
for program in nginx openssl curl ip python3; do
    command -v $program >/dev/null || skip "there is no $program"
done
[ -x "$server" ] || skip "there is no llama-server at '$server'"
folder=$(mktemp -d)
name=remote_ns_$$
export no_proxy='*'
clean() {
    for file in "$folder"/*.pid; do
        [ ! -e "$file" ] || kill "$(cat "$file")" 2>/dev/null
    done
    wait 2>/dev/null
    for i in 1 2; do ip netns del "$name$i" 2>/dev/null; done
    rm -rf "$folder"
}
trap clean EXIT
fail() {
    echo "failed: $*"
    cat "$folder/host.log"
    exit 1
}
# until COMMAND... succeeds, a minute at most
wait_until() {
    for _ in $(seq 600); do
        "$@" >/dev/null 2>&1 && return
        sleep 0.1
    done
    fail "in vain: $*"
}

# Addresses of documentation (RFC 5737); a namespace of the same test on this machine has them, too, so one at a time.
exec 9>/tmp/lipc-remote-namespaces.lock
flock 9
for i in 1 2; do
    ip netns add "$name$i" 2>/dev/null && ip link add "v$i-$$" type veth peer name inside netns "$name$i" 2>/dev/null ||
        skip "network namespaces are not allowed here"
    ip addr add 192.0.2.$((i * 64 + 1))/26 dev "v$i-$$"
    ip link set "v$i-$$" up
    ip -n "$name$i" addr add 192.0.2.$((i * 64 + 2))/26 dev inside
    ip -n "$name$i" link set inside up
    ip -n "$name$i" link set lo up
    here=$folder/$i
    address=192.0.2.$((i * 64 + 2))
    mkdir "$here"
    openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=test -addext "subjectAltName=IP:$address" \
        -keyout "$here/key.pem" -out "$here/certificate.pem" 2>/dev/null || skip "openssl makes no certificate"
    cat >"$here/nginx.conf" <<END
daemon off; pid $here/pid; error_log $here/error.log; worker_processes 1; events {}
http {
    access_log off;
    client_body_temp_path $here/b; proxy_temp_path $here/p; fastcgi_temp_path $here/f; uwsgi_temp_path $here/u; scgi_temp_path $here/s;
    server {
        listen $address:443 ssl http2; ssl_certificate $here/certificate.pem; ssl_certificate_key $here/key.pem;
        location / { proxy_pass http://127.0.0.1:8080; proxy_http_version 1.1; proxy_buffering off; }
    }
}
END
    # Each prompt from its beginning, so that nothing depends on what came before.
    ip netns exec "$name$i" nginx -c "$here/nginx.conf" -p "$here" 9>&- &
    echo $! >"$folder/nginx$i.pid"
    ip netns exec "$name$i" "$server" -m "$model" --host 127.0.0.1 --port 8080 -t 1 -np 1 --no-cache-prompt --no-webui --no-warmup \
        >"$here/log" 2>&1 9>&- &
    echo $! >"$folder/server$i.pid"
done
cat "$folder"/?/certificate.pem >"$folder/certificates.pem"
for i in 1 2; do wait_until curl -sf --cacert "$folder/certificates.pem" "https://192.0.2.$((i * 64 + 2))/health"; done

"$chatbot" --remote https://192.0.2.66 --remote https://192.0.2.130 --remote-ca "$folder/certificates.pem" --remote-timeout 30 \
    --remote-connect-timeout 10 --name "$name" 2>"$folder/host.log" 9>&- &
echo $! >"$folder/host.pid"
question='What is a semaphore?'
ask() { "$llamaipc" ask --name "$name" "$@" "$question"; }
direct() {
    curl -s --cacert "$folder/certificates.pem" https://192.0.2.66/v1/chat/completions \
        -d "{\"messages\":[{\"role\":\"user\",\"content\":\"$question\"}],\"seed\":$1,\"temperature\":1.5}" |
        python3 -c 'import json, sys; print(json.load(sys.stdin)["choices"][0]["message"]["content"])'
}
wait_until "$llamaipc" status --name "$name"
for seed in 1 2 3 4 5 6 7 8; do
    [ "$(ask -s $seed --temp 1.5)" = "$(direct $seed)" ] || fail "another text with seed $seed"
done
echo "eight texts are those of direct requests"

kill -9 "$(cat "$folder/server1.pid")"
[ -n "$(ask)" ] || fail "nobody took over from the server that was killed"
grep -q 'https://192.0.2.66: refuses the request with status 502' "$folder/host.log" || fail "the first server was not asked"
echo "the second server takes over from the first one"

ip link set "v2-$$" down
said=$(ask 2>&1) && fail "an answer without a server: $said"
echo "$said" | grep -q '^llamaipc: https://192.0.2' || fail "no sentence: $said"
echo "without both, a sentence: $said"
