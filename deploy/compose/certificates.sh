#!/bin/sh
# Makes the certificates of compose.yaml, below ./certificates: an authority, and what it signs for the broker, the two
# gateways and an operator. What is there already stays; delete a directory to have it made anew.
#
#   ./certificates.sh [NAME...]
#
# Names are host names or IP addresses by which clients reach the broker besides "broker" and "localhost". Run it as root, so
# that each key can be given to the one user who needs it. Keep certificates/authority/key.pem somewhere safe: who has it can
# sign whatever.
set -eu
umask 077
cd "$(dirname "$0")"

days_of_authority=3650 days=825

hosts="DNS:broker,DNS:localhost,IP:127.0.0.1"
for name in "$@"; do
    case $name in
        *[!0-9.]*) hosts="$hosts,DNS:$name" ;;
        *) hosts="$hosts,IP:$name" ;;
    esac
done

quietly() {
    "$@" 2>openssl.log || { cat openssl.log >&2; exit 1; }
    rm -f openssl.log
}

new_key() { quietly openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$1/key.pem"; }

authority=certificates/authority
if [ ! -e $authority ]; then
    mkdir -p $authority
    chmod 711 certificates # each goes to its own directory; nobody else sees what there is
    new_key $authority
    quietly openssl req -x509 -new -key $authority/key.pem -out $authority/ca.pem -days $days_of_authority \
        -subj "/CN=authority of the gateways" -addext keyUsage=critical,keyCertSign,cRLSign
    echo "made $authority"
fi

# issue NAME USER PURPOSE [HOSTS]: the certificate of NAME, for the numeric user who reads its key.
issue() {
    place=certificates/$1
    [ ! -e "$place" ] || return 0
    mkdir "$place"
    new_key "$place"
    {
        echo "basicConstraints = critical,CA:FALSE"
        echo "keyUsage = critical,digitalSignature"
        echo "extendedKeyUsage = $3"
        echo "subjectKeyIdentifier = hash"
        echo "authorityKeyIdentifier = keyid"
        [ -z "${4-}" ] || echo "subjectAltName = $4"
    } >"$place/extensions"
    quietly openssl req -new -key "$place/key.pem" -out "$place/request" -subj "/CN=$1"
    quietly openssl x509 -req -in "$place/request" -out "$place/cert.pem" -days $days -extfile "$place/extensions" \
        -CA $authority/ca.pem -CAkey $authority/key.pem -CAcreateserial
    rm "$place/request" "$place/extensions"
    cp $authority/ca.pem "$place/ca.pem"
    if [ "$(id -u)" = 0 ]; then
        chown -R "$2" "$place"
    else
        echo "$place: let user $2 read it: sudo chown -R $2 $place" >&2
    fi
    echo "made $place"
}

issue broker 1883:1883 serverAuth "$hosts"
issue edge-east 10001:10001 clientAuth
issue edge-west 10001:10001 clientAuth
issue ops "${SUDO_UID:-$(id -u)}:${SUDO_GID:-$(id -g)}" clientAuth
