#!/bin/sh
# The first start makes the data directory and the accounts that the environment names; every start runs the server.
# MYSQL_ROOT_PASSWORD (required), MYSQL_DATABASE, MYSQL_USER and MYSQL_PASSWORD mean what they mean to the official image.
set -eu
data=/var/lib/mysql
fixed="--no-defaults --innodb-log-file-size=48M --datadir=$data"

text() {    # a string of SQL
    printf "'%s'" "$(printf %s "$1" | sed "s/\\\\/\\\\\\\\/g; s/'/''/g")"
}

name() {    # a database's name
    printf '`%s`' "$(printf %s "$1" | sed 's/`/``/g')"
}

pattern() { # the same in GRANT, where _ and % stand for others
    name "$(printf %s "$1" | sed 's/[_%]/\\&/g')"
}

say() {     # unlike echo, which takes backslashes for more
    printf '%s\n' "$1"
}

accounts() {
    say "FLUSH PRIVILEGES;"
    for host in localhost %; do
        say "CREATE USER 'root'@'$host' IDENTIFIED BY $(text "$MYSQL_ROOT_PASSWORD");"
        say "GRANT ALL ON *.* TO 'root'@'$host' WITH GRANT OPTION;"
    done
    [ -z "${MYSQL_DATABASE:-}" ] || say "CREATE DATABASE $(name "$MYSQL_DATABASE");"
    [ -z "${MYSQL_USER:-}" ] || {
        say "CREATE USER $(text "$MYSQL_USER")@'%' IDENTIFIED BY $(text "${MYSQL_PASSWORD:-}");"
        [ -z "${MYSQL_DATABASE:-}" ] || say "GRANT ALL ON $(pattern "$MYSQL_DATABASE").* TO $(text "$MYSQL_USER")@'%';"
    }
}

# Written last, and on disk when it is there: a first start that was killed starts over.
if [ ! -e $data/.made ]; then
    [ -n "${MYSQL_ROOT_PASSWORD:-}" ] || { echo "MYSQL_ROOT_PASSWORD is not set" >&2; exit 1; }
    find $data -mindepth 1 -delete
    cp -a /var/lib/template/. $data/
    accounts | mariadbd $fixed --bootstrap --skip-log-bin
    sync -f $data
    touch $data/.made
    sync -f $data
fi

case "${1:-}" in -* | "") set -- mariadbd "$@" ;; esac
program=$1
shift
exec "$program" $fixed --socket=/run/mysqld/mysqld.sock --pid-file=/run/mysqld/mysqld.pid "$@"
