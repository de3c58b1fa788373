#!/bin/sh
# Builds nginx and HAProxy from Debian's source packages without the debug options that Debian's own binaries have
# (--with-debug; DEBUG_STRICT and DEBUG_MEMORY_POOLS), into ${XDG_CACHE_HOME:-~/.cache}/hotpath-bench. Takes 15 MB, two
# minutes of one CPU, gcc, make and libssl-dev; leaves the system's apt configuration alone. Lua and regular expressions
# are left out: the measured configurations use neither.
set -eu
target=${XDG_CACHE_HOME:-$HOME/.cache}/hotpath-bench
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$target" "$work/lists/partial" "$work/cache/archives/partial" "$work/parts" "$work/nginx" "$work/haproxy"
chmod 755 "$work"
cat > "$work/parts/src.sources" <<END
Types: deb-src
URIs: http://deb.debian.org/debian
Suites: bookworm
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg
END
own_apt() {
    apt-get -q -o Dir::Etc::SourceList=/dev/null -o Dir::Etc::SourceParts="$work/parts" \
        -o Dir::State::lists="$work/lists" -o Dir::Cache="$work/cache" -o APT::Sandbox::User=root "$@"
}
logged() {
    "$@" > step.log 2>&1 || { tail -20 step.log; exit 1; }
}
flags='-g -O2 -fstack-protector-strong -D_FORTIFY_SOURCE=2'     # Debian's own, less the -fPIC that only its modules need

own_apt update
cd "$work"
own_apt source --download-only nginx haproxy

tar xf nginx_*.orig.tar.gz -C nginx --strip-components=1
cd nginx
logged ./configure --without-pcre --without-http_rewrite_module --with-threads --with-http_ssl_module \
    --with-http_v2_module --with-cc-opt="$flags" --with-ld-opt='-Wl,-z,relro -Wl,-z,now'
logged make
install objs/nginx "$target/nginx"

cd ../haproxy
tar xf ../haproxy_*.orig.tar.gz --strip-components=1
logged make TARGET=linux-glibc USE_OPENSSL=1 DEBUG= DEBUG_CFLAGS= CPU_CFLAGS="$flags -fwrapv" \
    LDFLAGS='-Wl,-z,relro -Wl,-z,now'
install haproxy "$target/haproxy"

"$target/nginx" -v
"$target/haproxy" -v | head -1
